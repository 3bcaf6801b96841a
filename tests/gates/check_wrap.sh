#!/bin/bash
# SPDX-License-Identifier: MIT
# Proves that the fallback dependencies in subprojects/ build from their source archives, offline.
#
#   check_wrap.sh [--tree] DIR      archives lie in DIR, under any name: they are found by SHA-256
#   check_wrap.sh [--tree] --debian fetch them from Debian's source packages first (jansson, libyaml
#                                   and xxHash: Debian keeps the release archives unchanged)
#   check_wrap.sh --self-test       an archive with one changed byte must be refused
#
# --tree builds the library itself on them as well. Exit 77: no archive was found (a skipped test).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
quiet_log=$scratch/log

wrap_value() { # FILE KEY
    sed -n "s/^$2 *= *//p" "$1" | head -n 1
}

run_quietly() {
    if ! "$@" >"$quiet_log" 2>&1; then
        tail -n 40 "$quiet_log" >&2
        return 1
    fi
}

fetch_from_debian() { # DIR
    local dir=$1 uri suite
    suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
          "Codename: $suite" 2>/dev/null | head -n 1)
    [ -n "$suite" ] && [ -n "$uri" ] || return 1
    # A source list and a state folder of our own: the system's apt configuration stays as it is.
    mkdir -p "$dir/apt/lists/partial" "$dir/apt/cache/archives/partial" "$dir/apt/parts"
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main" \
        >"$dir/apt/sources.list"
    local options=(-o Dir::Etc::SourceList="$dir/apt/sources.list"
                   -o Dir::Etc::SourceParts="$dir/apt/parts"
                   -o Dir::State::Lists="$dir/apt/lists" -o Dir::Cache="$dir/apt/cache"
                   -o APT::Sandbox::User=root)
    (cd "$dir" && apt-get "${options[@]}" update &&
     apt-get "${options[@]}" source --download-only jansson libyaml xxhash) \
        >"$quiet_log" 2>&1
}

# Fills $1/packagecache from the archives in $2; prints the names of the wraps that it could serve.
fill_cache() {
    local subprojects=$1 archives=$2 wrap hash file
    mkdir -p "$subprojects/packagecache"
    (cd "$archives" && find . -maxdepth 1 -type f -exec sha256sum {} +) >"$scratch/sums"
    for wrap in "$subprojects"/*.wrap; do
        hash=$(wrap_value "$wrap" source_hash)
        file=$(sed -n "s/^$hash  //p" "$scratch/sums" | head -n 1)
        if [ -z "$file" ]; then
            echo "no archive for $(basename "$wrap" .wrap) (SHA-256 $hash): left out" >&2
            continue
        fi
        cp "$archives/$file" "$subprojects/packagecache/$(wrap_value "$wrap" source_filename)"
        basename "$wrap" .wrap
    done
}

# The project that uses the dependencies: one program, one call into each library.
write_probe() { # DIR NAMES...
    local dir=$1
    shift
    mkdir -p "$dir"
    {
        echo "project('probe', 'c', meson_version: '>= 1.0.1')"
        echo "deps = []"
        echo "args = []"
    } >"$dir/meson.build"
    local name dependency
    for name in "$@"; do
        dependency=$(sed -n '/^\[provide\]/,$s/ *=.*//p' "$root/subprojects/$name.wrap" | head -n 1)
        echo "deps += dependency('$dependency')" >>"$dir/meson.build"
        echo "args += '-DHAVE_${name^^}'" >>"$dir/meson.build"
    done
    echo "test('probe', executable('probe', 'probe.c', dependencies: deps, c_args: args))" \
        >>"$dir/meson.build"
    cp "$here/check_wrap_probe.c" "$dir/probe.c"
}

check() { # ARCHIVES TREE
    local archives=$1 tree=$2 names joined
    write_probe "$scratch/probe"
    cp -r "$root/subprojects" "$scratch/probe/subprojects"
    rm -rf "$scratch/probe/subprojects/packagecache"
    names=$(fill_cache "$scratch/probe/subprojects" "$archives")
    if [ -z "$names" ]; then
        echo "no source archive found in $archives" >&2
        exit 77
    fi
    # shellcheck disable=SC2086
    write_probe "$scratch/probe" $names
    joined=$(echo "$names" | paste -sd,)
    run_quietly meson setup --wrap-mode=nodownload --force-fallback-for="$joined" \
        "$scratch/probe/build" "$scratch/probe"
    run_quietly ninja -C "$scratch/probe/build" -j 2
    "$scratch/probe/build/probe"
    if [ "$tree" = yes ]; then
        mkdir "$scratch/tree"
        tar -cf - -C "$root" --exclude=./.git --exclude='./build*' \
            --exclude=./tests . | tar -xf - -C "$scratch/tree"
        rm -rf "$scratch/tree/subprojects"
        cp -r "$root/subprojects" "$scratch/tree/subprojects"
        rm -rf "$scratch/tree/subprojects/packagecache"
        cp -r "$scratch/probe/subprojects/packagecache" "$scratch/tree/subprojects/packagecache"
        run_quietly meson setup --wrap-mode=nodownload --force-fallback-for="$joined" \
            -Dtests=false "$scratch/tree/build" "$scratch/tree"
        run_quietly ninja -C "$scratch/tree/build" -j 2
        echo "the library builds on them"
    fi
    echo "built from source archives: $joined"
}

self_test() {
    local bad=$scratch/bad
    write_probe "$bad" jansson
    cp -r "$root/subprojects" "$bad/subprojects"
    rm -rf "$bad/subprojects/packagecache"
    mkdir -p "$bad/subprojects/packagecache" "$scratch/jansson-2.14"
    echo "tampered" >"$scratch/jansson-2.14/README"
    tar -czf "$bad/subprojects/packagecache/$(wrap_value "$root/subprojects/jansson.wrap" \
        source_filename)" -C "$scratch" jansson-2.14
    if meson setup --wrap-mode=nodownload --force-fallback-for=jansson "$bad/build" "$bad" \
        >"$quiet_log" 2>&1; then
        echo "self-test: a changed archive was accepted" >&2
        exit 1
    fi
    if ! grep -qi 'hash' "$quiet_log"; then
        echo "self-test: the changed archive failed for another reason" >&2
        tail -n 20 "$quiet_log" >&2
        exit 1
    fi
    echo "self-test: a changed archive is refused"
}

tree=no
case "${1:-}" in
--self-test)
    self_test
    exit 0
    ;;
--tree)
    tree=yes
    shift
    ;;
esac
case "${1:-}" in
--debian)
    mkdir "$scratch/archives"
    if ! fetch_from_debian "$scratch/archives"; then
        echo "Debian's source packages are out of reach; nothing was checked" >&2
        exit 77
    fi
    check "$scratch/archives" "$tree"
    ;;
"")
    echo "usage: check_wrap.sh [--tree] DIR | [--tree] --debian | --self-test" >&2
    exit 2
    ;;
*)
    check "$(cd "$1" && pwd)" "$tree"
    ;;
esac
