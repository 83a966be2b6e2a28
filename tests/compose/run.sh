#!/bin/sh
# `make compose-test`: a Docker engine where none runs, base images where none can be pulled, then the test program.
# What it started it stops. Exits 75 where no engine can run here, which is not a failure of what is tested.
#
# PAX_COMPOSE=COMMAND   the compose to test (`docker compose`, `docker-compose`, a path). Default: the first that runs.
set -eu
cd "$(dirname "$0")/../.."
log=$PWD/.tools/compose-test.log
state=$PWD/.tools/docker
mkdir -p "$state"

say() { printf '· %s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }
cannot() {
    printf '\n*** The compose test was NOT run: %s.\n*** `make compose-test` on a machine with root and Docker runs it.\n\n' "$*" >&2
    exit 75
}
quietly() { "$@" >>"$log" 2>&1 </dev/null || { tail -n 15 "$log" >&2; return 1; }; }
apt_install() { # once its lists were read
    have apt-get || return 1
    [ -n "${lists:-}" ] || { lists=1; quietly apt-get update -q || true; }
    say "installing by apt: $*"
    quietly env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"
}
: >"$log"

# ---- an engine -------------------------------------------------------------------------------------------

ours= sockets=
stop_engine() {
    status=$?
    trap - EXIT INT TERM
    if [ -n "$ours" ]; then
        say 'stopping the Docker engine that this test started'
        kill -TERM "$ours" 2>/dev/null || true
        wait "$ours" 2>/dev/null || true
        rm -rf "$sockets"
    fi
    exit $status
}
trap stop_engine EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if ! docker info >/dev/null 2>&1; then
    [ "$(id -u)" = 0 ] || cannot 'no Docker engine answers, and only root can start one'
    if ! have dockerd; then
        # Debian's service would be started by its installation, and would be another engine than ours.
        policy=/usr/sbin/policy-rc.d
        if [ ! -e $policy ]; then printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy; else policy=; fi
        installed=1
        apt_install docker.io || installed=
        [ -z "$policy" ] || rm -f $policy
        [ -n "$installed" ] && have dockerd || cannot 'no Docker engine could be installed'
    fi
    say 'starting a Docker engine'
    # A path in the checkout can be too long for a socket.
    sockets=$(mktemp -d /tmp/pax-docker.XXXXXX)
    DOCKER_HOST=unix://$sockets/docker.sock
    export DOCKER_HOST
    dockerd --host "$DOCKER_HOST" --data-root "$state/data" --exec-root "$sockets/exec" --pidfile "$sockets/pid" \
        >>"$log" 2>&1 </dev/null &
    ours=$!
    waited=0
    until docker info >/dev/null 2>&1; do
        waited=$((waited + 1))
        kill -0 $ours 2>/dev/null && [ $waited -lt 150 ] || { tail -n 5 "$log" >&2; cannot 'a Docker engine does not start here'; }
        sleep 0.2
    done
fi

if [ -z "${PAX_COMPOSE:-}" ]; then
    if docker compose version >/dev/null 2>&1; then
        PAX_COMPOSE='docker compose'
    elif have docker-compose || apt_install docker-compose; then
        PAX_COMPOSE=docker-compose
    else
        cannot 'there is neither `docker compose` nor docker-compose'
    fi
fi
export PAX_COMPOSE

# ---- base images -----------------------------------------------------------------------------------------

image() { docker image inspect "$1" >/dev/null 2>&1 || { say "pulling $1" && timeout 120 docker pull -q "$1" >>"$log" 2>&1; }; }

base=${PAX_BASE_IMAGE:-debian:bookworm-slim}
if ! image "$base"; then
    [ "$(id -u)" = 0 ] && { have debootstrap || apt_install debootstrap; } || cannot "$base can neither be pulled nor made"
    say "it cannot be pulled: making $base by debootstrap (a minute)"
    rm -rf "$state/root"
    quietly debootstrap --variant=minbase bookworm "$state/root" || cannot "$base cannot be made by debootstrap"
    # As the image of that name has it: the compilers that the sources need are in there.
    echo 'deb http://deb.debian.org/debian-security bookworm-security main' >>"$state/root/etc/apt/sources.list"
    tar -C "$state/root" -c . | docker import - "$base" >>"$log"
    rm -rf "$state/root"
fi
envoy=${PAX_ENVOY_IMAGE:-envoyproxy/envoy:v1.40.0}
if ! image "$envoy"; then
    say "it cannot be pulled: making $envoy from .tools/envoy"
    rm -rf "$state/envoy"
    mkdir -p "$state/envoy/usr/local/bin" "$state/envoy/etc/ssl/certs"
    cp -L .tools/envoy "$state/envoy/usr/local/bin/envoy"
    cp -L /etc/ssl/certs/ca-certificates.crt "$state/envoy/etc/ssl/certs/"
    tar -C "$state/envoy" -c . | docker import - "$envoy" >>"$log"
    rm -rf "$state/envoy"
fi

. ./.tools/toolchain
say "building the test"
"$CARGO" build --quiet --profile tools --locked --package pax-compose-test
"${CARGO_TARGET_DIR:-target}/tools/pax-compose-test"
