# Every combination of a package's features compiles without a warning, with its tests and benchmarks. In the other jobs one
# package's wishes turn on features for all of them.

features() {
    cargo_tool hack
    run cargo hack clippy --locked --workspace --feature-powerset --all-targets -- -D warnings
}
