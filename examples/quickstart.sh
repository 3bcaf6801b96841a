#!/bin/bash
# SPDX-License-Identifier: MIT
# From a fresh checkout to a loaded model, on Debian 12 with root or sudo:
#
#   examples/quickstart.sh            with a small made-up pipeline, served by a hub on this machine
#   examples/quickstart.sh ORG/NAME   with that repository of the real hub ($HF_ENDPOINT, $HF_TOKEN)
#
# Installs the Debian packages that are missing, builds into ./build, and keeps the models that it
# installs in ./build/quickstart. Nothing else is written outside; no pip, no other download.
#
# MODELMGR_SKIP_INSTALL=1 leaves the packages alone; MODELMGR_BUILD=DIR takes another build folder.
set -eu -o pipefail
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${MODELMGR_BUILD:-$root/build}
work=$build/quickstart
demo=$work/demo
python=/usr/bin/python3
hub_pid=

say() {
    printf '\n== %s\n' "$*"
}

# Shows a command, then runs it.
run() {
    printf '$ modelmgr'
    printf ' %q' "$@"
    printf '\n'
    "$build/examples/cli/modelmgr" "$@"
}

stop_hub() {
    if [ -n "$hub_pid" ]; then
        kill "$hub_pid" 2>/dev/null || true
        wait "$hub_pid" 2>/dev/null || true
        hub_pid=
    fi
}
trap stop_hub EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

install_packages() {
    local name tier missing=() as_root=()
    while read -r name tier; do
        if [ "$tier" = build ] &&
            [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" != installed ]; then
            missing+=("$name")
        fi
    done < <(sed 's/#.*//; /^ *$/d' "$root/tests/packages.txt")
    if [ ${#missing[@]} -eq 0 ]; then
        echo "All Debian packages that are needed are there."
        return
    fi
    echo "Installing from Debian: ${missing[*]}"
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "This needs root or sudo." >&2
            return 1
        fi
        as_root=(sudo)
    fi
    # An outdated package list may still be good enough.
    "${as_root[@]}" apt-get update -q || true
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "${missing[@]}"
}

start_hub() {
    local pipeline=$demo/hub/demo/tiny-stable-diffusion waited=0
    "$python" "$root/tests/models/make_model.py" pipeline --family sd-1 --variants default,fp16 \
        --out "$pipeline" >/dev/null
    "$python" "$root/tests/hub/loopback_hub.py" --repos "$demo/hub" --port-file "$demo/port" \
        >"$demo/hub.log" 2>&1 &
    hub_pid=$!
    until [ -s "$demo/port" ]; do
        if ! kill -0 "$hub_pid" 2>/dev/null || [ "$waited" -ge 300 ]; then
            cat "$demo/hub.log" >&2
            echo "the hub did not start" >&2
            return 1
        fi
        sleep 0.1
        waited=$((waited + 1))
    done
    HF_ENDPOINT=$(head -n 1 "$demo/port")
    export HF_ENDPOINT NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
    unset HF_TOKEN HF_HUB_OFFLINE
    echo "$HF_ENDPOINT serves demo/tiny-stable-diffusion: a true Stable Diffusion 1 in"
    echo "structure, small in numbers, with random weights."
}

# The key of the model that is there already when a source is installed again; fails otherwise.
# A plan downloads nothing, and its refusal names the key.
installed_key() {
    "$build/examples/cli/modelmgr" --json install --dry-run "$1" 2>/dev/null | "$python" -c '
import json, sys
error = json.load(sys.stdin).get("error", {})
if error.get("code") != "duplicate_model":
    sys.exit(1)
print(error["subject"])'
}

# What a record says, the newest if no key is given: key, folder, and the submodel to look at.
describe() {
    "$python" - "$@" <<'PYTHON'
import json
import os
import sys

models = json.load(open(sys.argv[1]))["models"]
if sys.argv[2:]:
    record = next(found for found in models if found["key"] == sys.argv[2])
else:
    record = max(models, key=lambda found: found["created_at"])
path = record.get("location") or record["path"]
parts = [part for part in ("unet", "transformer") if os.path.isdir(os.path.join(path, part))]
print(record["key"], parts[0] if parts else "-", path, sep="\n")
PYTHON
}

case ${1:-} in
-h | --help)
    sed -n '3,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
-*)
    echo "quickstart: unknown option $1 (see --help)" >&2
    exit 2
    ;;
esac
[ $# -le 1 ] || { echo "quickstart: one repository at most (see --help)" >&2; exit 2; }

echo "This installs missing Debian packages, builds libmodelmgr, and takes one model from its name"
echo "to its weights in memory. Apart from the packages it writes only into $build."

say "Packages"
if [ "${MODELMGR_SKIP_INSTALL:-0}" = 1 ]; then
    echo "Left as they are (MODELMGR_SKIP_INSTALL)."
else
    install_packages
fi

say "Build"
if [ ! -e "$build/build.ninja" ]; then
    meson setup "$build" "$root" -Dtests=false
fi
ninja -C "$build" examples/cli/modelmgr

if [ $# -eq 0 ]; then
    say "A hub on this machine"
    rm -rf "$demo"
    mkdir -p "$demo"
    start_hub
    source=demo/tiny-stable-diffusion
    export MODELMGR_ROOT=$demo/root
else
    mkdir -p "$work"
    source=$1
    export MODELMGR_ROOT=$work/root
fi

say "Install $source by name"
installed=()
status=0
run install "$source" || status=$?
if [ "$status" -ne 0 ]; then
    # A second run finds the model installed already; anything else is an error.
    key=$(set +o pipefail; installed_key "$source") || exit "$status"
    installed=("$key")
    echo "That is well: the model of an earlier run is taken."
fi

say "What is installed"
run list
"$build/examples/cli/modelmgr" --json list >"$work/list.json"
describe "$work/list.json" "${installed[@]}" >"$work/record"
{ read -r key; read -r submodel; read -r path; } <"$work/record"

say "What it is, and how that was found out"
run probe "$path" --explain

say "Its weights, in memory"
if [ "$submodel" = - ]; then
    run load "$key"
    run inspect "$path" | sed -n '1,15p;16s/.*/.../p'
else
    run load "$key" --submodel "$submodel"
    run inspect "$path/$submodel" | sed -n '1,15p;16s/.*/.../p'
fi

say "Done"
echo "The model lies in $path."
echo "To go on:  MODELMGR_ROOT=$MODELMGR_ROOT $build/examples/cli/modelmgr --help"
