# What we publish: whose code it stands on, and what is in the packages.

published=(zen-reactor zen-server zen-client)

# A package is fetched by everybody who depends on it.
most_bytes=600000

packages() {
    cargo_tool deny
    run cargo deny --locked --all-features check --hide-inclusion-graph bans licenses sources
    pack
}

# Cargo compiles each package from what is in it alone.
pack() {
    local package archive
    export CARGO_TARGET_DIR="$kept/packages"
    # For this Cargo makes up a registry, and what it once unpacked from a registry it takes to be final.
    rm -rf "$CARGO_TARGET_DIR/package" "${CARGO_HOME:-$HOME/.cargo}"/registry/src/-*/zen-*
    run cargo package --quiet --locked --allow-dirty "${published[@]/#/--package=}"
    for package in "${published[@]}"; do
        for archive in "$CARGO_TARGET_DIR/package/$package"-*.crate; do
            check_archive "$archive"
        done
    done
}

check_archive() {
    local archive=$1 name wanted bytes
    name=$(basename "$archive" .crate)
    tar -tzf "$archive" | sed "s|^$name/||" >"$scratch/contents"
    for wanted in README.md LICENSE-MIT LICENSE-APACHE src/lib.rs; do
        grep -qx "$wanted" "$scratch/contents" || { echo "$name lacks $wanted"; return 1; }
    done
    if grep -vxE 'build\.rs|(src|tests|benches)/.*\.(rs|md)|README\.md|LICENSE-(MIT|APACHE)|Cargo\.(toml|toml\.orig|lock)|\.cargo_vcs_info\.json' \
        "$scratch/contents"; then
        echo "$name should not contain these"
        return 1
    fi
    bytes=$(wc -c <"$archive")
    [ "$bytes" -le "$most_bytes" ] || { echo "$name has $bytes bytes, which are more than $most_bytes"; return 1; }
    echo "$name: $(wc -l <"$scratch/contents") files, $bytes bytes packed"
}
