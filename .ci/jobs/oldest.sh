# The libraries and programs compile with the oldest compiler that Cargo.toml promises, with all features and by default.

oldest() {
    fetch_debian_rust
    export CARGO_TARGET_DIR="$kept/oldest"
    run "$debian_rust" check --workspace --locked
    run "$debian_rust" check --workspace --locked --all-features
}
