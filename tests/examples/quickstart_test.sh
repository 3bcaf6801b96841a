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
rm -rf "$MMGR_BUILD_ROOT/quickstart/models"
exit $failed
