#!/bin/sh
# Envoy's command in its container (compose.yaml): renders its configuration by the environment's settings, then runs
# Envoy under pax-drain, so that SIGTERM loses nothing.
set -eu
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

keys=
for name in $(sed -n 's/.*"key_env": *"\([A-Z0-9_]*\)".*/\1/p' "$PAX_ROOT/envoy/providers.json"); do
    eval "value=\${$name:-}"
    [ -z "$value" ] || keys="$keys $name"
done
case ",${COMPOSE_PROFILES:-}," in *,standin,*) standin=1 ;; *) standin= ;; esac
# Cards that cannot be read are not cards that are not there: the built-in ones would price calls without a word.
[ -r "$PAX_ROOT/ratecards/LOCK" ] || die "ratecards/ cannot be read by the image's user: chmod -R a+rX ratecards"

if [ -n "$standin" ] && [ -n "$keys" ]; then
    die "the stand-in provider and keys of real ones ($keys ) exclude each other: take \`standin\` out of
       COMPOSE_PROFILES, or the keys out of the environment and .env"
elif [ -n "$standin" ] && [ -n "${UPSTREAM:-}" ] && [ "$UPSTREAM" != standin:10003 ]; then
    die "UPSTREAM and the stand-in provider exclude each other, and with the stand-in the README's demo tokens work: take
       \`standin\` out of COMPOSE_PROFILES, or UPSTREAM out of .env"
elif [ -n "$standin" ]; then
    UPSTREAM=standin:10003
elif [ -z "$keys" ] && [ -z "${UPSTREAM:-}" ]; then
    die "no provider: set the key of one (.env.example names them), UPSTREAM=host:port, or COMPOSE_PROFILES=standin"
fi
case ${UPSTREAM:-} in
    localhost:* | 127.*) die "UPSTREAM=$UPSTREAM is this container itself; the host is host.docker.internal:${UPSTREAM##*:}" ;;
esac
export UPSTREAM="${UPSTREAM:-}"
# Callers name the port that is published on the host, or the service on its network.
published=${GATEWAY_PORT:-10000}
[ "${GATEWAY_HOSTS:-}" = '*' ] ||
    GATEWAY_HOSTS="127.0.0.1:$published,localhost:$published,[::1]:$published,envoy:10000${GATEWAY_HOSTS:+,$GATEWAY_HOSTS}"
export GATEWAY_HOSTS

render() {
    pax-stack render --address 0.0.0.0 --port 10000 --liveness-port 10005 --admin-port 10001 \
        --ledger-host ledger --ledger-port 10002 --ledger-public-port 10004 \
        --filter-file $run/filter/filter.yaml "$@"
}
# As `make up` has its run folder: `pax-stack reload --data-dir /run/pax` finds it.
run=/run/pax/run/10000
mkdir -p $run/filter
render >$run/envoy.yaml
render --filter >$run/filter/filter.yaml
echo 10001 >$run/admin

exec pax-drain run --probe-s "${PROBE_S:-1}" --limit-s "${DRAIN_S:-30}" -- \
    envoy --config-path $run/envoy.yaml --concurrency "${CONCURRENCY:-2}" --disable-hot-restart --drain-time-s 2 \
    --file-flush-interval-msec 100 \
    --log-format '%Y-%m-%dT%T.%e %l %n: %v' --log-level warning --component-log-level wasm:info
