# The libraries and programs compile for systems that are not here: each target is checked with a standard library made for it.

other_systems=(x86_64-unknown-freebsd x86_64-unknown-netbsd x86_64-unknown-openbsd aarch64-apple-darwin)

systems() {
    fetch_debian_rust
    export CARGO_TARGET_DIR="$kept/systems" RUSTC_BOOTSTRAP=1 CARGO_PROFILE_DEV_DEBUG=0
    local system
    for system in "${other_systems[@]}"; do
        run "$debian_rust" check -Zbuild-std=std,panic_abort --locked --target "$system" \
            -p zen-reactor -p zen-server -p zen-client --lib --bins --all-features
    done
}
