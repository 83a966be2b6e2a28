#!/bin/sh
# Builds the filter as dist/pax_gateway.wasm with whatever envoy/tools.sh found, and prints its size.
# `bench` builds the filters that `make bench` compares it with, as dist/bench/*.wasm, in the same way; `faults` the
# filter that traps when a request asks it to (src/wasm/faults.rs), for tests, as dist/test/pax_gateway_faults.wasm;
# `talc` and `no_template` the gateway without one of its parts, as dist/bench/NAME.wasm, for BENCH_VARIANTS=1; `before`
# the gateway of version 0.1.0, as dist/test/pax_gateway_0_1_0.wasm, for the test of the upgrade from it.
# With one other argument, a cargo command (`clippy`, `check`), runs that for wasm32 instead, faults included.
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
        sh envoy/quietly.sh "building the filter to compare with: $name" "$WASM_CARGO" rustc $std --manifest-path tests/bench/filters/Cargo.toml --target-dir "$filters" \
            --package bench-$name --lib --crate-type cdylib --target $target --release --locked
        cp "$filters/$target/release/bench_$name.wasm" dist/bench/$name.wasm
    done
    exit
fi
if [ "$1" = before ]; then
    # A clone may have the commit without its tag.
    commit=$(git rev-parse --quiet --verify 'v0.1.0^{commit}') ||
        commit=$(git rev-parse --quiet --verify 'c5a911df744cb4a1477c08461b861c7b92eefbf1^{commit}') || {
        echo 'the module of version 0.1.0 cannot be built, and the upgrade from it cannot be tested: this checkout has neither' \
            'the tag v0.1.0 nor its commit. In a shallow clone, or one without tags: git fetch --tags' >&2
        exit 1
    }
    module=dist/test/pax_gateway_0_1_0.wasm built_from=dist/test/pax_gateway_0_1_0.commit
    if [ -s $module ] && [ "$(cat $built_from 2>/dev/null)" = "$commit" ]; then
        exit
    fi
    mkdir -p dist/test "${CARGO_TARGET_DIR:-target}"
    # Its dependencies are mostly this module's, so it is built beside it.
    artifacts=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
    sources=$artifacts/v0.1.0
    rm -rf "$sources" $built_from
    mkdir "$sources"
    git archive "$commit" | tar -x -C "$sources"
    sh envoy/quietly.sh 'building the filter of version 0.1.0, for the test of the upgrade' sh -c 'cd "$1" && shift && exec "$@"' sh "$sources" \
        "$WASM_CARGO" rustc $std --package pax-gateway --lib --crate-type cdylib --target $target --target-dir "$artifacts" --release --locked
    cp "$artifacts/$target/release/pax_gateway.wasm" $module
    echo "$commit" >$built_from
    exit
fi
case $1 in rustc | faults | talc | no_template) builds=yes ;; *) builds= ;; esac
if [ -z "$builds" ]; then
    [ "$1" != clippy ] || what=lints
    sh envoy/quietly.sh "${what:-cargo $1} for wasm32" "$WASM_CARGO" "$1" $std --package pax-gateway --lib --features test-faults --target $target --locked -- -D warnings
    exit
fi
case $1 in
    faults)
        module=dist/test/pax_gateway_faults.wasm features='--features test-faults'
        what='building the filter that fails when it is told to, for tests' ;;
    talc | no_template)
        module=dist/bench/$1.wasm features="--features bench-$(echo "$1" | tr _ -)"
        what="building the filter to compare with: $1" ;;
    *) module=dist/pax_gateway.wasm features= what='building the filter for wasm32' ;;
esac
# No crate-type in Cargo.toml: a cdylib beside an rlib makes cargo drop LTO (cargo#9672).
sh envoy/quietly.sh "$what" "$WASM_CARGO" rustc $std --package pax-gateway $features --lib --crate-type cdylib --target $target --release --locked
mkdir -p "$(dirname $module)"
built=${CARGO_TARGET_DIR:-target}/$target/release/pax_gateway.wasm
# Only when it changed, so that nothing is restarted for nothing.
cmp -s "$built" $module || cp "$built" $module
bytes=$(wc -c <$module)
echo "$module: $bytes bytes ($((bytes / 1024)) KiB)"
