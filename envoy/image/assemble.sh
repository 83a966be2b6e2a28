#!/bin/sh
# In the image's first stage: puts what the image needs of this checkout into a folder that becomes its root.
#
#   assemble.sh build FOLDER    from the sources: installs Rust by apt and compiles
#   assemble.sh dist FOLDER     from dist/, as the host has built it
set -eu
cd "$(dirname "$0")/../.."
parts=$1 to=$2

die() { printf 'error: %s\n' "$*" >&2; exit 1; }

case $parts in
    build)
        apt-get update -q
        DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends make
        # What the host may have built is for the host.
        rm -rf dist target .tools
        make wasm binaries
        ;;
    dist) [ -f dist/pax_gateway.wasm ] || die "dist/ is empty: run \`make compose\`, or leave PAX_PARTS out" ;;
    *) die "PAX_PARTS is build or dist, not $parts" ;;
esac

mkdir -p "$to/usr/local/bin" "$to/opt/pax/envoy" "$to/opt/pax/dist"
for program in pax-drain pax-ledger pax-ratecard pax-stack pax-standin; do
    dist/$program --version >/dev/null ||
        die "dist/$program does not run in this image: it was built on a newer system than the image's.
       \`docker compose build\` without PAX_PARTS builds it for the image; or name a newer base with PAX_BASE_IMAGE."
    cp dist/$program "$to/usr/local/bin/"
done
cp envoy/image/gateway.sh "$to/usr/local/bin/pax-gateway"
cp envoy/image/ledger.sh "$to/usr/local/bin/pax-ledger-serve"
cp -r envoy/envoy.yaml envoy/filter.yaml envoy/fragments envoy/providers.json envoy/upstream.json \
    envoy/local-replies.json "$to/opt/pax/envoy/"
cp -r ratecards "$to/opt/pax/"
cp dist/pax_gateway.wasm "$to/opt/pax/dist/"
# Whoever made these files may have kept them to itself; the image's user is another.
chmod -R a+rX "$to"
chmod 0755 "$to"/usr/local/bin/*
