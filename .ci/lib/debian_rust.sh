# Debian 12 carries the oldest compiler that we support, for its web browsers, and the sources of its standard library, which
# the toolchains of rustup here lack: they serve whoever has to build a standard library with other flags or for other systems.
# It is unpacked beside the system, not installed: it is big and must replace nothing.

debian_rust_packages=(rustc-web cargo-web libstd-rust-web-dev rust-web-src rust-web-clippy)

# The oldest compiler that is supported, as 1.85.
oldest_rust() {
    sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml
}

# Unpacks it, unless it is there, or ends the job. Afterwards `$debian_rust` is its cargo, which takes its own compiler;
# `-Zbuild-std` works, once RUSTC_BOOTSTRAP=1 is set.
fetch_debian_rust() {
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || skip "this is no Debian, which has the compiler in a package"
    local oldest version
    oldest=$(oldest_rust)
    # A fresh container has no package lists.
    [ -n "$(apt-cache madison rustc-web)" ] || apt-get update -qq >"$scratch/update.log" 2>&1 || true
    version=$(apt-cache madison rustc-web | awk -v oldest="$oldest." 'index($3, oldest) == 1 { print $3; exit }')
    [ -n "$version" ] || skip "there is no rustc-web $oldest in the package lists"
    debian_rust_root="$kept/rust-$version"
    [ -d "$debian_rust_root" ] || unpack_debian_rust "$version" ||
        skip "rustc-web $version could not be fetched: $(tail -n 1 "$scratch/download.log")"
    debian_rust="$debian_rust_root/cargo"
    "$debian_rust" --version || skip "the compiler that was fetched does not run here"
}

# Into a folder that gets its name when all is there.
unpack_debian_rust() {
    local version=$1 package packages
    packages=$(
        apt-get install --simulate --no-install-recommends "${debian_rust_packages[@]/%/=$version}" \
            "libstd-rust-web-$(oldest_rust)=$version" 2>"$scratch/download.log" |
            sed -n 's/^Inst \([^ ]*\) .*(\([^ ]*\) .*/\1=\2/p'
    ) || return 1
    rm -rf "$scratch/rust"
    mkdir "$scratch/rust"
    # shellcheck disable=SC2086 # one word for each package
    (cd "$scratch/rust" && apt-get download -qq $packages 2>>"$scratch/download.log") || return 1
    for package in "$scratch"/rust/*.deb; do
        dpkg -x "$package" "$scratch/rust" && rm "$package" || return 1
    done
    cat >"$scratch/rust/cargo" <<END
#!/bin/sh
export LD_LIBRARY_PATH="$debian_rust_root/usr/lib/x86_64-linux-gnu:$debian_rust_root/lib/x86_64-linux-gnu"
export PATH="$debian_rust_root/usr/bin:\$PATH" RUSTC="$debian_rust_root/usr/bin/rustc"
exec "$debian_rust_root/usr/bin/cargo" "\$@"
END
    chmod +x "$scratch/rust/cargo"
    mv "$scratch/rust" "$debian_rust_root"
}

