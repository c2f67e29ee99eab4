# An unmodified tokio, and others that were written for mio, on our reactor: our own program and tests with every backend that
# is there, and of tokio's own suite what has to do with waiting.

tokio() {
    tokio_on_reactor
    # The whole suite, and the other backends, are for before a release: reactor/mio/tokio-suite/run
    run_bounded 1500 reactor/mio/tokio-suite/run --backend epoll,poll --tests net,io,process,signal,time --in "$kept/tokio-suite"
}

tokio_on_reactor() (
    cd examples/tokio-on-reactor
    export CARGO_TARGET_DIR="$kept/tokio-on-reactor" CARGO_PROFILE_DEV_DEBUG=0
    run cargo fmt --check
    run cargo fmt --check --manifest-path ../../reactor/mio/Cargo.toml
    run cargo clippy --locked --all-targets -- -D warnings
    run cargo clippy --locked -p mio -- -D warnings
    run cargo test --locked -p mio
    run_bounded 900 cargo test --locked
)
