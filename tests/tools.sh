#!/bin/sh
# The tools of a checkout that was copied to another path are its own and work there; and a build says one line, or all of
# it where it fails. `make test-tools`.
set -eu
cd "$(dirname "$0")/.."

fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
mkdir -p dist/test
work=$(mktemp -d "$PWD/dist/test/copied.XXXXXX")
trap 'rm -rf "$work"' EXIT

# ---- what a build says

noisy='echo "   Compiling one v1"; echo "   Compiling two v2"; echo oops >&2'
V= sh envoy/quietly.sh 'a build' sh -c "$noisy" >"$work/said" 2>&1 || fail "a build that succeeds"
grep -Eq '^· a build: [0-9]+ s, 2 crates$' "$work/said" && [ "$(wc -l <"$work/said")" -eq 1 ] ||
    fail "not one line: $(cat "$work/said")"
status=0
V= sh envoy/quietly.sh 'a build' sh -c "$noisy; exit 7" >"$work/said" 2>&1 || status=$?
[ $status -eq 7 ] || fail "a build that exits 7 was said to exit $status"
grep -Eq '^· a build FAILED after [0-9]+ s:$' "$work/said" && grep -q 'Compiling two' "$work/said" && grep -q oops "$work/said" ||
    fail "a build that fails does not show all: $(cat "$work/said")"
V=1 sh envoy/quietly.sh 'a build' sh -c "$noisy" >"$work/said" 2>&1
[ "$(wc -l <"$work/said")" -eq 4 ] || fail "V=1 does not show all: $(cat "$work/said")"
sh envoy/quietly.sh 'a build' sh -c 'echo $$ >"$1"; exec sleep 60' sh "$work/pid" >/dev/null 2>&1 &
build=$!
until [ -s "$work/pid" ]; do sleep 0.1; done
kill -TERM $build
status=0
wait $build || status=$?
[ $status -eq 143 ] || fail "a build that was stopped exits $status"
sleep 0.2
! kill -0 "$(cat "$work/pid")" 2>/dev/null || fail "what was stopped goes on"

# ---- a copied checkout

copy=$work/checkout
mkdir -p "$copy/tests/sdk"
cp -al .tools "$copy/" 2>/dev/null || { rm -rf "$copy/.tools"; cp -a .tools "$copy/"; }
cp -a envoy Makefile "$copy/"
[ ! -f tests/sdk/requirements.txt ] || cp tests/sdk/requirements.txt "$copy/tests/sdk/"
# As checkouts have it that are older than the relative link; and compilers that are no more.
[ ! -d .tools/envoy-venv ] || ln -sfn "$(realpath .tools/envoy)" "$copy/.tools/envoy"
rm "$copy/.tools/toolchain"
sed "s|^CARGO=.*|CARGO='/nowhere/cargo'|" .tools/toolchain >"$copy/.tools/toolchain"
(
    cd "$copy"
    make --no-print-directory .tools/toolchain >/dev/null
    . ./.tools/toolchain
    "$CARGO" --version >/dev/null || fail "the toolchain of a copy was not looked for anew"
    sh envoy/tools.sh envoy >/dev/null
    case $(realpath .tools/envoy) in
        "$copy"/*) ;;
        *) [ ! -d .tools/envoy-venv ] || fail "a copy runs the Envoy $(realpath .tools/envoy)" ;;
    esac
    .tools/envoy --version >/dev/null || fail "the Envoy of a copy does not run"
    [ ! -d .tools/sdk ] || {
        sh envoy/tools.sh python
        prefix=$(.tools/sdk/bin/python -c 'import sys, openai, pytest; print(sys.prefix)')
        [ "$prefix" = "$copy/.tools/sdk" ] || fail "a copy has the Python environment of $prefix"
        .tools/sdk/bin/python -m pytest --version >/dev/null || fail "pytest of a copy does not run"
    }
)
echo 'ok'
