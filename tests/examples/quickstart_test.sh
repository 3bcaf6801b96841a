#!/bin/bash
# SPDX-License-Identifier: MIT
# The quickstart in this build: it must end well, show each step, and leave no hub and no file outside
# its folder. Control: with a hub that is not there it must fail.
set -u -o pipefail

script=$MMGR_SOURCE_ROOT/examples/quickstart.sh
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder" "$MMGR_BUILD_ROOT/quickstart/demo"' EXIT
export MODELMGR_SKIP_INSTALL=1 MODELMGR_BUILD=$MMGR_BUILD_ROOT HOME=$folder/home TMPDIR=$folder/tmp
mkdir "$HOME" "$TMPDIR"
failed=0

fail() {
    echo "FAILED: $*"
    failed=1
}

# Files that git does not know, also those that it ignores, but for builds; nothing without git.
new_files() {
    git status --porcelain --ignored --untracked-files=all 2>/dev/null |
        grep '^[?!][?!]' | grep -v '^!! build'
}

cd "$MMGR_SOURCE_ROOT" || exit 1
new_files >"$folder/before"
if ! "$script" >"$folder/out" 2>&1 </dev/null; then
    fail "the quickstart failed"
fi
cat "$folder/out"
for wanted in 'install demo/tiny-stable-diffusion' 'list' 'probe .* --explain' \
    'load .* --submodel unet' 'conv_in\.weight' 'sd-1' '== Done'; do
    grep -Eq "$wanted" "$folder/out" || fail "the output says nothing of: $wanted"
done
endpoint=$(head -n 1 "$MMGR_BUILD_ROOT/quickstart/demo/port")
if /usr/bin/python3 -c 'import socket, sys, urllib.parse as u
a = u.urlsplit(sys.argv[1]); socket.create_connection((a.hostname, a.port), 5)' "$endpoint" 2>/dev/null; then
    fail "the hub still runs at $endpoint"
fi
new_files >"$folder/after"
cmp "$folder/before" "$folder/after" || fail "files were left in the checkout"
[ -z "$(find "$HOME" "$TMPDIR" -type f)" ] || fail "files were left: $(find "$HOME" "$TMPDIR" -type f)"

# A repository that the hub does not have, at a place where nobody listens: the script must say so.
if HF_ENDPOINT=http://127.0.0.1:9 NO_PROXY=127.0.0.1 "$script" demo/absent >"$folder/out2" 2>&1 </dev/null; then
    fail "the quickstart ends well although nothing could be installed"
fi

# A repository of a hub, a part of it, and the repository again in another spelling: the last run
# must show the first model, not the newest.
hub=
trap '[ -z "$hub" ] || kill "$hub"; rm -rf "$folder" "$MMGR_BUILD_ROOT/quickstart/"{demo,root}' EXIT
/usr/bin/python3 "$MMGR_SOURCE_ROOT/tests/models/make_model.py" pipeline --family sd-1 \
    --variants default,fp16 --out "$folder/repos/acme/tiny" >/dev/null || fail "no model was made"
/usr/bin/python3 "$MMGR_SOURCE_ROOT/tests/hub/loopback_hub.py" --repos "$folder/repos" \
    --port-file "$folder/port" >/dev/null 2>&1 &
hub=$!
until [ -s "$folder/port" ] || ! kill -0 "$hub" 2>/dev/null; do
    sleep 0.1
done
HF_ENDPOINT=$(head -n 1 "$folder/port")
export HF_ENDPOINT NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
rm -rf "$MMGR_BUILD_ROOT/quickstart/root"
for source in acme/tiny acme/tiny::vae acme/tiny:fp16; do
    "$script" "$source" >"$folder/out3" 2>&1 </dev/null || {
        cat "$folder/out3"
        fail "the quickstart failed with $source"
    }
done
grep -Fq 'installed already' "$folder/out3" || fail "the repository was installed twice"
grep -Eq 'load [0-9a-f]+ --submodel unet' "$folder/out3" || fail "another model was shown"
exit $failed
