#!/bin/sh
# `make compose`: what envoy/compose.yaml mounts, rendered into dist/compose/.
set -eu
cd "$(dirname "$0")/.."
mkdir -p dist/compose/filter

# The ports are those of compose.yaml. Only the gateway's is published, on the host's loopback.
render() {
    dist/pax-stack render --address 0.0.0.0 --port 10000 --liveness-port 10005 --admin-port 10001 --ledger-port 10002 --standin-port 10003 \
        --wasm /etc/pax/pax_gateway.wasm --filter-file /etc/pax/filter/filter.yaml \
        --ca-file /etc/ssl/certs/ca-certificates.crt "$@"
}
render >dist/compose/envoy.yaml
# In one move: an Envoy that runs reads it at that moment.
render --filter >dist/compose/filter/filter.new
chmod a+r dist/compose/filter/filter.new
mv dist/compose/filter/filter.new dist/compose/filter/filter.yaml
# Envoy runs as a user of its own in its image. No file has a secret in it.
chmod a+r dist/compose/envoy.yaml dist/pax_gateway.wasm

# One secret for as long as the folder is there: Envoy and ledger may be started anew on their own.
if [ ! -s dist/compose/secret.env ]; then
    (umask 077 && printf 'PAX_LEDGER_SECRET=%s\n' "$(od -An -tx1 -N32 /dev/urandom | tr -d ' \n')" >dist/compose/secret.env)
fi

echo 'Rendered dist/compose/. Start it with'
echo '  docker compose -f envoy/compose.yaml --env-file dist/compose/secret.env up'
echo 'and end it with the same and `down` (`down --volumes` removes the ledger too).'
