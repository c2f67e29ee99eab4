# Every combination of a package's features compiles without a warning, with its tests and benchmarks. In the other jobs one
# package's wishes turn on features for all of them.

features() {
    cargo_tool hack
    # In the library the features that only name what is always there count as one.
    check_combinations -p zen-reactor --group-features os-poll,os-ext,net,log
    check_combinations --workspace --exclude zen-reactor
}

check_combinations() {
    run cargo hack clippy --locked --feature-powerset --exclude-features default "$@" --all-targets -- -D warnings
}
