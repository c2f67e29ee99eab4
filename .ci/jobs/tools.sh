# What the tests use besides, and the packages it comes from: strace injects errors into system calls, nc half-closes a
# connection as a user would, inetd and systemd start the server, the last three are clients of the web server.
tools_of_tests=(strace=strace nc=netcat-openbsd inetd=openbsd-inetd systemd-socket-activate=systemd curl=curl wrk=wrk
    ab=apache2-utils)

tools() {
    cargo --version
    rustc --version
    local tool missing=()
    for tool in "${tools_of_tests[@]}"; do
        command -v "${tool%=*}" >/dev/null || missing+=("${tool#*=}")
    done
    if [ ${#missing[@]} -eq 0 ]; then
        echo "nothing is missing"
    elif [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        skip "${missing[*]} cannot be installed here (no root, or no apt-get); tests that need them say so"
    # In run level 1 no package starts a service of its own.
    elif ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$scratch/install.log" 2>&1; }; then
        tail -n 3 "$scratch/install.log"
        skip "apt-get could not install ${missing[*]}; tests that need them say so"
    else
        echo "installed: ${missing[*]}"
    fi
}
