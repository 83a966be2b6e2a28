#!/bin/sh
# .env for docker compose (compose.yaml), where there is none yet.
#
#   envoy/compose.sh          makes .env from .env.example, with a secret
#   envoy/compose.sh image    the same, and builds the image from dist/ (`make compose`)
#   envoy/compose.sh postgres has .env say that three ledgers work on a PostgreSQL, which compose starts too
#   envoy/compose.sh rotate   puts a new secret into it; the ledger goes on taking the old one, from the Envoy that is
#                             about to be replaced
set -eu
cd "$(dirname "$0")/.."

secret() { od -An -tx1 -N32 /dev/urandom | tr -d ' \n'; }
value() { sed -n "s/^$1=//p" .env | tail -n 1; }
# set_line NAME VALUE: in the place of the line that is there, or at the end. In one move: nobody reads half of it.
set_line() {
    (umask 077 && awk -v name="$1" -v value="$2" '
        index($0, name "=") == 1 { if (!done) print name "=" value; done = 1; next }
        { print }
        END { if (!done) print name "=" value }' .env >.env.new)
    mv .env.new .env
}

if docker compose version >/dev/null 2>&1; then compose='docker compose'; else compose=docker-compose; fi

case ${1:-} in
    rotate)
        old=$(value PAX_LEDGER_SECRET)
        [ -n "$old" ] || { echo 'error: .env has no PAX_LEDGER_SECRET: run this without `rotate`' >&2; exit 1; }
        # Rotated twice, the secret that a running Envoy has would be neither of the two that the ledger takes.
        running=$($compose exec -T envoy printenv PAX_LEDGER_SECRET 2>/dev/null | tr -d '\r\n') || running=
        [ -z "$running" ] || [ "$running" = "$old" ] ||
            { echo "error: Envoy still runs with the secret before .env's: run \`$compose up -d\` first" >&2; exit 1; }
        set_line PAX_LEDGER_SECRET_OLD "$old"
        set_line PAX_LEDGER_SECRET "$(secret)"
        echo 'A new secret is in .env: `docker compose up -d` has ledger and Envoy take it.'
        exit
        ;;
    '' | image | postgres) ;;
    *) echo "error: compose.sh takes image, postgres, rotate or nothing, not $1" >&2; exit 1 ;;
esac

if [ ! -e .env ]; then
    (umask 077 && cp .env.example .env && chmod 600 .env)
    # Real keys in the environment: compose will pass them on, and the stand-in must not be beside them.
    for name in $(sed -n 's/^#\([A-Z]*_API_KEY\)=.*/\1/p' .env.example); do
        eval "key=\${$name:-}"
        [ -z "$key" ] || set_line COMPOSE_PROFILES ''
    done
fi
[ -n "$(value PAX_LEDGER_SECRET)" ] || set_line PAX_LEDGER_SECRET "$(secret)"

if [ "${1:-}" = postgres ]; then
    [ -n "$(value PAX_POSTGRES_PASSWORD)" ] || set_line PAX_POSTGRES_PASSWORD "$(secret)"
    set_line LEDGER_DB "postgres://pax:$(value PAX_POSTGRES_PASSWORD)@postgres:5432/pax"
    profiles=$(value COMPOSE_PROFILES)
    case ",$profiles," in *,postgres,*) ;; *) set_line COMPOSE_PROFILES "${profiles:+$profiles,}postgres" ;; esac
    echo 'Three ledgers work on PostgreSQL from the next start on. It begins empty: a ledger that is in the volume `ledger`'
    echo 'stays there and is not read any more.'
fi

if [ "${1:-}" = image ]; then
    command -v docker >/dev/null 2>&1 || { echo 'error: .env is written; the image needs Docker, which is not here' >&2; exit 1; }
    PAX_PARTS=dist $compose build envoy
fi

echo 'The settings are in .env. Start the gateway with'
echo "  $compose up -d"
echo "and stop it with \`$compose down\` (\`down --volumes\` removes the ledger too)."
