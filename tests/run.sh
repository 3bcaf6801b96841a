#!/bin/bash
# SPDX-License-Identifier: MIT
# Builds the library and runs its tests on Debian 12, from a fresh checkout.
#
#   tests/run.sh          the quick tier
#   tests/run.sh --full   quick, then clang, sanitizers, valgrind and the sweeps
#   tests/run.sh --long   quick, then the soak tests (they may be combined)
#
# Installs the Debian packages that are missing (as root, or through sudo) and nothing else outside
# the checkout; everything it makes lies in build/. MMGR_TIME_LIMIT=SECONDS ends it in time: what
# could not be run then counts as failed. MMGR_JOBS=N sets how many compilers and tests run at once.
#
# The last line is "N passed, N failed", with ", N skipped" when there are any.
set -u -o pipefail
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build
logs=$build/logs
jobs=${MMGR_JOBS:-$(nproc)}
limit=${MMGR_TIME_LIMIT:-0}
passed=0 failed=0 skipped=0
full=no long=no

usage() {
    sed -n '3,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

say() {
    printf '\n== %s\n' "$*"
}

finish() {
    if [ $((passed + failed)) -eq 0 ]; then
        echo "no test was run"
        failed=1
    fi
    printf '\nTook %d minutes %d seconds.\n' $((SECONDS / 60)) $((SECONDS % 60))
    local extra=
    [ "$skipped" -eq 0 ] || extra=", $skipped skipped"
    echo "$passed passed, $failed failed$extra"
    [ "$failed" -eq 0 ]
    exit
}

# A step that is a test in itself, such as a build: it counts as one.
step_passed() {
    passed=$((passed + 1))
}

step_failed() { # WHAT
    echo "FAILED: $*"
    failed=$((failed + 1))
}

remaining() {
    if [ "$limit" -gt 0 ]; then
        echo $((limit - SECONDS))
    else
        echo 86400
    fi
}

in_time() { # WHAT
    if [ "$(remaining)" -lt 20 ]; then
        step_failed "$1: not run, the time limit of $limit seconds is used up"
        return 1
    fi
}

# Runs a command with its output in a log; shows the end of the log when it fails.
logged() { # LOG COMMAND...
    local log=$logs/$1
    shift
    if ! timeout -k 10 "$(remaining)" "$@" >"$log" 2>&1 </dev/null; then
        tail -n 60 "$log"
        echo "(all of it: $log)"
        return 1
    fi
}

# ---- what the tests need

needed_packages() {
    local name tier
    while read -r name tier; do
        [ "$tier" = full ] && [ "$full" = no ] || echo "$name"
    done < <(sed 's/#.*//; /^ *$/d' "$root/tests/packages.txt")
    # An area with needs of its own lists them in a file.
    sed 's/#.*//' "$root"/tests/*/packages.txt 2>/dev/null
}

install_packages() {
    local package missing=() as_root=()
    for package in $(needed_packages); do
        if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
            missing+=("$package")
        fi
    done
    if [ ${#missing[@]} -eq 0 ]; then
        echo "All Debian packages that are needed are installed."
        return
    fi
    echo "Installing from Debian: ${missing[*]}"
    if [ "$(id -u)" -ne 0 ]; then
        as_root=(sudo -n)
        if ! sudo -n true 2>/dev/null; then
            echo "This needs root, or sudo without a password."
            return 1
        fi
    fi
    logged apt-update.log "${as_root[@]}" apt-get update ||
        echo "(going on with the package lists as they are)"
    logged apt-install.log "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "${missing[@]}"
}

# Packages from PyPI, pinned in tests/*/requirements.txt, in an environment of our own.
prepare_python() {
    local venv=$build/venv lists=("$root"/tests/*/requirements.txt) arguments=() list stamp
    if [ ! -x "$venv/bin/python3" ]; then
        logged venv.log /usr/bin/python3 -m venv --system-site-packages "$venv" || return 1
    fi
    [ -e "${lists[0]}" ] || return 0
    stamp=$(cat "${lists[@]}" | sha256sum)
    if [ "$stamp" = "$(cat "$venv/requirements.stamp" 2>/dev/null)" ]; then
        return 0
    fi
    for list in "${lists[@]}"; do
        arguments+=(-r "$list")
    done
    echo "Installing into build/venv from PyPI: $(sed 's/#.*//' "${lists[@]}" | xargs)"
    logged pip.log "$venv/bin/python3" -m pip install --no-input --no-cache-dir \
        --disable-pip-version-check "${arguments[@]}" || return 1
    echo "$stamp" >"$venv/requirements.stamp"
}

# ---- builds

build_tree() { # DIR COMPILER OPTIONS...
    local dir=$1 compiler=$2 mode=() name
    shift 2
    name=$(basename "$dir")
    [ ! -e "$dir/meson-private/coredata.dat" ] || mode=(--reconfigure)
    logged "setup-$name.log" env CC="$compiler" meson setup "${mode[@]}" "$dir" "$root" \
        -Dtests=true -Dtest_python="$build/venv/bin/python3" "$@" || return 1
    logged "compile-$name.log" ninja -C "$dir" -j "$jobs"
}

# Runs tests of one build and adds up their cases. The name is also that of the log.
run_tests() { # NAME DIR MESON-TEST-ARGUMENTS...
    local name=$1 dir=$2 status=0 file counts p f s
    shift 2
    in_time "$name" || return
    rm -f "$dir/meson-logs/$name"*.json "$logs/failures-$name.txt"
    # A home of their own shows that nothing is written into the user's. pytest keeps the folders of
    # its last runs, and they may be looked at after a failure, so the temporary ones lie here too.
    rm -rf "$build/tmp"
    mkdir -p "$build/home" "$build/tmp"
    HOME=$build/home TMPDIR=$build/tmp timeout -k 20 "$(remaining)" "${launcher[@]}" \
        meson test -C "$dir" --no-rebuild --num-processes "$jobs" --logbase "$name" "$@" \
        </dev/null >"$logs/test-$name.log" 2>&1 || status=$?
    file=$(find "$dir/meson-logs" -maxdepth 1 -name "$name*.json" | head -n 1)
    if [ -z "$file" ] || ! counts=$(/usr/bin/python3 "$root/tests/gates/count.py" "$file" \
        2>"$logs/failures-$name.txt"); then
        counts="0 0 0"
    fi
    cat "$logs/failures-$name.txt" 2>/dev/null
    read -r p f s <<<"$counts"
    if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
        tail -n 30 "$logs/test-$name.log"
        echo "FAILED: $name ended with status $status"
        f=1
    fi
    if [ $((p + f + s)) -eq 0 ]; then
        echo "FAILED: $name has no tests"
        f=1
    fi
    [ "$f" -gt 0 ] || rm -rf "$build/tmp"
    echo "$name: $p passed, $f failed, $s skipped"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

launcher=()

quick() {
    say "Building (gcc)"
    if ! build_tree "$build" gcc; then
        step_failed "the build"
        finish
    fi
    say "Quick tests"
    run_tests quick "$build" --no-suite full --no-suite long
}

has_suite() { # DIR SUITE
    meson test -C "$1" --no-rebuild --list --suite "$2" 2>/dev/null | grep -c ' / ' >/dev/null
}

build_step() { # WHAT DIR COMPILER OPTIONS...
    local what=$1
    shift
    say "Building ($what)"
    in_time "the $what build" || return 1
    if build_tree "$@"; then
        step_passed
    else
        step_failed "the $what build"
        return 1
    fi
}

# Instrumented code draws false warnings from the optimiser, so these builds do not stop at
# warnings; the plain builds with gcc and clang do.
sanitize=(-Dwerror=false -Dbuildtype=debugoptimized -Db_lundef=false)

full_tier() {
    if has_suite "$build" full; then
        say "Sweeps and slow tests"
        run_tests full "$build" --suite full --timeout-multiplier 2
    fi

    build_step clang "$build/clang" clang -Dwerror=true
    # The optimiser's warnings differ by level, and packagers build at this one.
    build_step release "$build/release" gcc -Dwerror=true -Dbuildtype=release -Dtests=false

    if build_step "address and undefined-behaviour sanitizers" "$build/asan" gcc \
        -Db_sanitize=address,undefined "${sanitize[@]}"; then
        # Python itself is not instrumented, so suites that load the library into it stay out.
        export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1
        export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
        run_tests asan "$build/asan" --no-suite python --no-suite gates --no-suite full \
            --no-suite long --timeout-multiplier 4
        unset ASAN_OPTIONS UBSAN_OPTIONS
    fi

    if build_step "thread sanitizer" "$build/tsan" gcc -Db_sanitize=thread "${sanitize[@]}"; then
        # gcc 12's run time cannot map its shadow under every kernel's address randomisation.
        if setarch -R true 2>/dev/null; then
            launcher=(setarch -R)
        fi
        export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
        run_tests tsan "$build/tsan" --suite threads --no-suite python --no-suite full \
            --no-suite long --timeout-multiplier 4
        unset TSAN_OPTIONS
        launcher=()
    fi

    say "Unit tests under valgrind"
    local valgrind=(valgrind --quiet --error-exitcode=99 --leak-check=full
        --suppressions=$PWD/tests/gates/valgrind.supp
                    --errors-for-leak-kinds=definite --num-callers=40)
    "${valgrind[@]}" "$build/tests/gates/planted" leak >"$logs/valgrind-planted.log" 2>&1
    if [ $? -eq 99 ]; then
        step_passed
    else
        step_failed "valgrind does not find a planted leak"
    fi
    run_tests valgrind "$build" --suite unit --no-suite full --no-suite long \
        --timeout-multiplier 20 --wrapper "${valgrind[*]}"
}

long_tier() {
    if has_suite "$build" long; then
        say "Long tests"
        run_tests long "$build" --suite long --timeout-multiplier 0
    else
        echo "There are no long tests."
    fi
}

for argument in "$@"; do
    case $argument in
    --full) full=yes ;;
    --long) long=yes ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
done

cd "$root" || exit 1
mkdir -p "$logs" || exit 1
say "Preparing"
echo "Everything is built in $build; the only change outside it is missing Debian packages."
if ! install_packages; then
    step_failed "installing the Debian packages"
    finish
fi
if ! prepare_python; then
    step_failed "preparing the Python environment"
fi
quick
[ "$full" = no ] || full_tier
[ "$long" = no ] || long_tier
finish
