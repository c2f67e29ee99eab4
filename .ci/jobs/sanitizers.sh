# The tests of the library under the sanitizers of addresses and of threads.
#
# A sanitizer that watches nothing finds nothing, so each has a canary (tests/canary): a program with the one error it is there
# to find. If that is not reported, the job fails, whatever the tests say.

target=x86_64-unknown-linux-gnu

# What touches memory that is shared: with the kernel, or between threads.
sanitized=(--lib --test conformance --test failures_layer1 --test event_loop)

sanitizers() {
    [ "$(uname -sm)" = "Linux x86_64" ] || skip "the runtimes are looked for on x86_64 Linux only"
    export CARGO_PROFILE_DEV_DEBUG=line-tables-only
    (sanitize_addresses)
    (sanitize_threads)
}

# The nightly compiler brings the runtime. The standard library is not instrumented, but its calls of the allocator are seen.
sanitize_addresses() {
    cargo +nightly --version || skip "there is no nightly compiler"
    export CARGO_TARGET_DIR="$kept/addresses" RUSTFLAGS=-Zsanitizer=address
    export ASAN_OPTIONS=detect_stack_use_after_return=1
    run_canary use_after_free "AddressSanitizer: heap-use-after-free" cargo +nightly
    run_bounded 900 cargo +nightly test --locked --target $target -p zen-reactor --all-features "${sanitized[@]}"
}

# Races are found through the synchronisation that is seen, so here the standard library must be instrumented, or libtest's own
# threads look like a race. Debian's compiler has the sources for that but lacks the runtime, which rustup's stable has.
sanitize_threads() {
    local runtime
    runtime="$(rustc --print sysroot)/lib/rustlib/$target/lib/librustc-stable_rt.tsan.a"
    [ -e "$runtime" ] || skip "the compiler has no runtime for the thread sanitizer ($runtime)"
    fetch_debian_rust
    cp "$runtime" "$debian_rust_root/usr/lib/rustlib/$target/lib/"
    export CARGO_TARGET_DIR="$kept/threads" RUSTFLAGS=-Zsanitizer=thread RUSTC_BOOTSTRAP=1
    run_canary race "ThreadSanitizer: data race" "$debian_rust" -Zbuild-std
    run_bounded 900 "$debian_rust" test -Zbuild-std --locked --target $target -p zen-reactor --all-features "${sanitized[@]}"
}

# run_canary NAME REPORT CARGO...: the program must end badly and with this report, which names the canary's own function.
run_canary() {
    local name=$1 report=$2 output="$scratch/canary.log"
    shift 2
    run "$@" build --quiet --locked --target $target --manifest-path tests/canary/Cargo.toml --bin "$name"
    if timeout 60 "$CARGO_TARGET_DIR/$target/debug/$name" >"$output" 2>&1; then
        cat "$output"
        echo "the canary $name came to no harm: this sanitizer sees nothing"
        return 1
    fi
    if ! grep -q "$report" "$output" || ! grep -q "$name::planted" "$output"; then
        cat "$output"
        echo "the report about the canary $name should say '$report' and name $name::planted"
        return 1
    fi
    echo "the canary $name was reported: $(grep -m 1 "$report" "$output")"
}
