# What all jobs share: how they are run, how they show what they do, and how they say that they cannot.

export CARGO_TERM_COLOR=never
export CARGO_INCREMENTAL=0
export RUST_BACKTRACE=1

# What is fetched or built for the jobs, and may be deleted at any time.
kept="$PWD/target/ci"
mkdir -p "$kept"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Commands are shown here even where their output goes elsewhere.
exec 3>&1

# Runs a command and shows it, as one would type it.
run() {
    printf '$ %s\n' "$*" >&3
    "$@"
}

# Runs a command for so many seconds at most, and shows it.
run_bounded() {
    local seconds=$1
    shift
    printf '$ %s\n' "$*" >&3
    timeout --kill-after=10 "$seconds" "$@" || {
        local status=$?
        [ "$status" -ne 124 ] || echo "not done after $seconds s"
        return "$status"
    }
}

# Ends a job, or the part of it that runs in a shell of its own, for want of something.
skip() {
    echo "skipped: $*"
    echo "$*" >>"$scratch/skipped"
    exit 0
}

# All jobs together must be done within an hour, on whatever machine. So none is begun after so many seconds.
latest=2700

# Runs the jobs named, or all, each in a shell of its own; then tells how they ended.
run_jobs() {
    local name status result failed=0 began table=()
    if [ $# -gt 0 ]; then latest=; else set -- "${jobs[@]}"; fi
    for name; do
        [[ " ${jobs[*]} " == *" $name "* ]] || { echo "no job $name among: ${jobs[*]}" >&2; exit 2; }
    done
    for name; do
        began=$SECONDS
        if [ -n "$latest" ] && [ "$began" -gt "$latest" ]; then
            table+=("$(printf '%-14s %5d s  skipped: %d s were over; by itself: bash .ci/run %s' "$name" 0 "$began" "$name")")
            continue
        fi
        rm -f "$scratch/skipped"
        printf '\n=== %s (after %d s)\n\n' "$name" "$SECONDS"
        # Not as the condition of an `if`, where bash would go on after a command of the job that fails.
        set +e
        (set -e; "$name")
        status=$?
        set -e
        result=good
        [ ! -e "$scratch/skipped" ] || result="skipped: $(paste -sd ';' "$scratch/skipped")"
        [ "$status" -eq 0 ] || { result=FAILED; failed=1; }
        table+=("$(printf '%-14s %5d s  %s' "$name" $((SECONDS - began)) "$result")")
    done
    printf '\n=== done (after %d s)\n\n' "$SECONDS"
    printf '%s\n' "${table[@]}"
    return "$failed"
}
