#!/bin/sh
# Builds the filter as dist/pax_gateway.wasm with whatever envoy/tools.sh found, and prints its size.
# `bench` builds the filters that `make bench` compares it with, as dist/bench/*.wasm, in the same way.
# With one other argument, a cargo command (`clippy`, `check`), runs that for wasm32 instead.
set -eu
cd "$(dirname "$0")/.."
. ./.tools/toolchain
target=wasm32-unknown-unknown

export RUSTC="$WASM_RUSTC"
if [ -n "$WASM_LD" ]; then
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$WASM_LD"
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-C linker-flavor=wasm-ld"
fi
set -- "${1:-rustc}"
if [ "$WASM_STD" = source ]; then
    # A stable compiler builds its own library only when told that it is not one.
    export RUSTC_BOOTSTRAP=1
    std='-Zbuild-std=std,panic_abort'
else
    std=
fi

if [ "$1" = bench ]; then
    mkdir -p dist/bench
    # Beside the gateway's own artifacts, but not among them: the two are not one workspace.
    filters=${CARGO_TARGET_DIR:-target}/bench-filters
    for name in empty copy; do
        "$WASM_CARGO" rustc $std --manifest-path tests/bench/filters/Cargo.toml --target-dir "$filters" \
            --package bench-$name --lib --crate-type cdylib --target $target --release --locked
        cp "$filters/$target/release/bench_$name.wasm" dist/bench/$name.wasm
    done
    exit
fi
if [ "$1" != rustc ]; then
    "$WASM_CARGO" "$1" $std --package pax-gateway --lib --target $target --locked -- -D warnings
    exit
fi
# No crate-type in Cargo.toml: a cdylib beside an rlib makes cargo drop LTO (cargo#9672).
"$WASM_CARGO" rustc $std --package pax-gateway --lib --crate-type cdylib --target $target --release --locked
mkdir -p dist
built=${CARGO_TARGET_DIR:-target}/$target/release/pax_gateway.wasm
# Only when it changed, so that nothing is restarted for nothing.
cmp -s "$built" dist/pax_gateway.wasm || cp "$built" dist/pax_gateway.wasm
bytes=$(wc -c <dist/pax_gateway.wasm)
echo "dist/pax_gateway.wasm: $bytes bytes ($((bytes / 1024)) KiB)"
