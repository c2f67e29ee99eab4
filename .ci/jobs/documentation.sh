# The reference as users make it, and as docs.rs does: there a nightly compiler writes at each item which feature it takes.

documentation() {
    RUSTDOCFLAGS="-D warnings" run cargo doc --locked --workspace --no-deps --all-features
    (document_as_docs_rs)
}

document_as_docs_rs() {
    cargo +nightly --version || skip "there is no nightly compiler"
    local page
    export CARGO_TARGET_DIR="$kept/nightly" RUSTDOCFLAGS="-D warnings --cfg docsrs"
    run cargo +nightly doc --locked --no-deps -p zen-reactor --all-features
    page="$CARGO_TARGET_DIR/doc/reactor/event_loop/struct.Reactor.html"
    if ! grep -q 'Available on <strong>crate feature <code>signal-hook</code></strong> only' "$page"; then
        echo "$page does not say that Reactor::on_signal takes the feature signal-hook"
        return 1
    fi
}
