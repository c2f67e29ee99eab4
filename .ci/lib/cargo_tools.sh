# Cargo's commands that do not come with it. They are built without optimisation, which takes half the time: none has much to do.

# The versions are named because what the tools say depends on them.
cargo_tools_versions=(cargo-hack@0.6.46 cargo-deny@0.20.2 cargo-public-api@0.52.0 cargo-fuzz@0.13.2)

# cargo_tool NAME: afterwards `cargo NAME` can be called; if not, the job ends.
cargo_tool() {
    local wanted="cargo-$1" versioned
    export PATH="$kept/tools/bin:$PATH"
    for versioned in "${cargo_tools_versions[@]}"; do
        [ "${versioned%@*}" = "$wanted" ] || continue
        run env CARGO_TARGET_DIR="$kept/tools-build" CARGO_PROFILE_DEV_DEBUG=0 \
            cargo install --quiet --debug --locked --root "$kept/tools" "$versioned" ||
            skip "$versioned could not be installed"
        return
    done
    echo "no version of $wanted is named" >&2
    return 1
}
