# What threads do to each other (a letter in the mailbox, a wake, a change during a wait) in every order in which they can meet:
# reactor/src/sync.rs says how. A wake that is lost shows as a deadlock, or as "exceeded maximum number of branches".

models() {
    export CARGO_TARGET_DIR="$kept/models" RUSTFLAGS="--cfg loom" CARGO_PROFILE_DEV_DEBUG=0
    run_bounded 600 cargo test --locked -p zen-reactor --lib models -- --test-threads=1 | tee "$scratch/models.log"
    grep -qE '^test result: ok\. [1-9]' "$scratch/models.log" || { echo "no model was run"; return 1; }
}
