# What is public is what reactor/public-api.txt lists, so that no change of it goes unnoticed.

api() {
    cargo +nightly --version || skip "there is no nightly compiler"
    cargo_tool public-api
    local now="$kept/public-api.txt" listed=reactor/public-api.txt
    export CARGO_TARGET_DIR="$kept/nightly"
    # Of the traits that types have without saying so, two are the compiler's own affair.
    run cargo +nightly public-api --package zen-reactor --all-features --omit blanket-impls |
        grep -vE '^impl.* core::marker::(Freeze|UnsafeUnpin) for ' >"$now"
    if ! diff -u --label listed --label now "$listed" "$now"; then
        echo "the public interface is not what is listed; if that is meant: cp target/ci/public-api.txt $listed"
        return 1
    fi
    echo "$(wc -l <"$listed") lines, all as listed"
}
