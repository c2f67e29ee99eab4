# The tests of the library over kqueue, as an emulation on Linux has it.

kqueue() {
    [ "$(uname -s)" = Linux ] || skip "the emulation stands on epoll"
    export CARGO_PROFILE_DEV_DEBUG=0
    run_bounded 900 bash reactor/tests/kqueue/run --no-default-features --features signal-hook \
        --lib --test conformance --test failures_layer1 --test event_loop --test truth_table
}
