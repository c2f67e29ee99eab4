# What takes bytes from strangers is given every kind of bytes, for a while and always from the same beginning. (For longer:
# cargo +nightly fuzz run --fuzz-dir tests/fuzz NAME.)

fuzz_targets=(zen bytes delimited chat http)
fuzz_seconds=8

fuzz() {
    cargo +nightly --version || skip "there is no nightly compiler"
    cargo_tool fuzz
    export CARGO_TARGET_DIR="$kept/fuzz"
    run cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
    run cargo clippy --locked --manifest-path tests/fuzz/Cargo.toml --all-targets -- -D warnings
    run cargo test --quiet --locked --manifest-path tests/fuzz/Cargo.toml --lib
    run cargo +nightly fuzz build --fuzz-dir tests/fuzz
    local name
    for name in "${fuzz_targets[@]}"; do
        fuzz_target "$name"
    done
}

# What it finds of interest goes into the first folder; the second is the corpus that is committed.
fuzz_target() {
    local name=$1 found="$kept/corpus/$1" options=()
    [ ! -e "tests/fuzz/$name.dict" ] || options+=("-dict=tests/fuzz/$name.dict")
    rm -rf "$found"
    mkdir -p "$found"
    if ! run cargo +nightly fuzz run --fuzz-dir tests/fuzz "$name" "$found" "tests/fuzz/corpus/$name" -- -seed=1 \
        "-max_total_time=$fuzz_seconds" -max_len=5000 -timeout=10 "-artifact_prefix=$kept/$name-" "${options[@]}" \
        >"$scratch/fuzz.log" 2>&1; then
        tail -n 80 "$scratch/fuzz.log"
        return 1
    fi
    tail -n 1 "$scratch/fuzz.log"
}
