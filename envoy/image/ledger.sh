#!/bin/sh
# The ledger's command in its container (compose.yaml): the demo's accounts where the demo's provider is on, then the
# service.
set -eu
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# The URL has a password: it is never printed.
case ${PAX_LEDGER_DB:-} in postgres://* | postgresql://*) postgres=1 ;; *) postgres= ;; esac
case ",${COMPOSE_PROFILES:-}," in
    *,postgres,*)
        [ -n "$postgres" ] || die 'the profile `postgres` needs LEDGER_DB in .env: sh envoy/compose.sh postgres writes it'
        # All services start at once. Until PostgreSQL takes connections, the demo's accounts could not be made.
        waited=0
        until bash -c ': </dev/tcp/postgres/5432' 2>/dev/null; do
            waited=$((waited + 1))
            [ $waited -lt 60 ] || die 'PostgreSQL takes no connections'
            sleep 1
        done
        ;;
esac

[ -n "$postgres" ] || for file in /data /data/ledger.db; do
    [ ! -e $file ] || [ -w $file ] ||
        die "$file belongs to another user, as volumes of older versions do. Once, with the stack stopped:
       docker compose run --rm --no-deps --user root ledger chown -R pax:pax /data"
done

case ",${COMPOSE_PROFILES:-}," in
    *,standin,*)
        for account in free credit; do
            # An operator who revoked the token or changed the tier meant it: no reason not to start, nor to undo it.
            pax-ledger account create "demo-$account" --tier "$account" --if-missing >/dev/null &&
                pax-ledger token add "demo-$account" --name demo --token "mtx-demo-$account" --if-missing >/dev/null ||
                echo "the account demo-$account is left as it is"
        done
        # With the same key it is granted once, however often the stack starts.
        pax-ledger grant demo-credit 100 --class promotion --key demo-credit --by compose --reason 'credit to play with' >/dev/null ||
            echo "the account demo-credit was granted nothing"
        ;;
    *)
        # These tokens stand in the README: beside real providers nobody may call with them.
        if [ -n "$postgres" ] || [ -e /data/ledger.db ]; then
            # The database of an older version, or an empty one, is brought up to date by `account create` alone, and by
            # the service.
            pax-ledger token list >/dev/null 2>&1 ||
                pax-ledger account create demo-free --tier free --if-missing >/dev/null 2>&1 || true
            for token in mtx-demo-free mtx-demo-credit; do
                said=$(pax-ledger token revoke --token $token 2>&1) ||
                    case $said in *'no such token'*) ;; *) die "$said" ;; esac
            done
        fi
        ;;
esac

# Compose may stop it before Envoy, whose debits are still to come: it goes on until that has gone.
exec pax-ledger serve --internal 0.0.0.0:10002 --public 0.0.0.0:10004 --linger-s 40
