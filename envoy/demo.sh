#!/bin/sh
# `make demo`: the whole stack, three calls as a person would make them, what the ledger wrote, and the end.
# Everything is temporary: a free port, a folder that is removed, the stand-in as every provider.
set -eu
cd "$(dirname "$0")/.."

if [ -t 1 ]; then bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m'); else bold='' dim='' plain=''; fi
step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
note() { printf '%s\n' "$dim$*$plain"; }
fail() { printf '\nThe demo FAILED: %s\n' "$*" >&2; exit 1; }

work=$(mktemp -d)
stack=
finish() {
    status=$?
    trap - EXIT INT TERM
    if [ -n "$stack" ]; then kill -TERM "$stack" 2>/dev/null || true; wait "$stack" || status=1; fi
    if [ $status -ne 0 ]; then
        for log in "$work"/up.log "$work"/data/run/*/envoy.log; do
            [ -f "$log" ] && { echo "--- the end of $(basename "$log")"; tail -n 15 "$log"; } >&2
        done
    fi
    rm -rf "$work"
    exit $status
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step '1. Start Envoy with the filter, the ledger, and a stand-in provider'
dist/pax-stack up --standin --port 0 --data-dir "$work/data" -- --pace-ms 40 >"$work/up.log" 2>&1 &
stack=$!
waited=0
until url=$(sed -n 's/^ready //p' "$work/up.log") && [ -n "$url" ]; do
    kill -0 "$stack" 2>/dev/null || { stack=; fail "the stack did not come up"; }
    waited=$((waited + 1))
    [ $waited -lt 900 ] || fail "the stack was not ready within 90 s"
    sleep 0.1
done
sed -n '/^·/p' "$work/up.log"
echo "ready at $url"

# call TITLE PATH BODY [CURL OPTION]: shows the command, runs it, checks the status, shows the answer.
call() {
    step "$1"
    note "\$ curl ${4:+$4 }$url$2 \\"
    note "    -H 'Authorization: Bearer mtx-demo-free' -H 'Content-Type: application/json' \\"
    note "    -d '$3'"
    # The headers go to a file, so that a stream is shown as it comes.
    # shellcheck disable=SC2086
    curl --silent --show-error --max-time 60 --dump-header "$work/head" ${4:-} "$url$2" \
        -H 'Authorization: Bearer mtx-demo-free' -H 'Content-Type: application/json' -d "$3" |
        tee "$work/body" | sed -u -e '/^$/d' -e 's/^data: {"id":.*"choices":/data: {... "choices":/' \
            -e 's/^\(data: .*\),"usage":.*/\1 ...}/'
    echo
    grep -i '^x-matrix' "$work/head" | tr -d '\r' | sed 's/^/  /' || true
    status=$(sed -n '1s/^HTTP[^ ]* \([0-9]*\).*/\1/p' "$work/head")
    [ "$status" = 200 ] || fail "the call was answered $status"
}

chat='{"model":"accounts/fireworks/models/gpt-oss-120b","messages":[{"role":"user","content":"Say hello"}]'
call '2. A chat call' /v1/chat/completions "$chat}"
grep -q '"usage"' "$work/body" || fail "the answer has no usage"

call '3. The same, streamed' /v1/chat/completions "$chat,\"stream\":true}" --no-buffer
grep -q '^data: \[DONE\]' "$work/body" || fail "the stream has no end"
note '(The chunks are shortened here. Usage was asked of the provider, counted, and taken out of the stream again,
because this caller had not asked for it.)'
! grep -q '"usage":{' "$work/body" || fail "the usage chunk was not taken out of the stream"

call '4. An embedding' /v1/embeddings \
    '{"model":"nomic-ai/nomic-embed-text-v1.5","input":"A call, priced and debited"}'
grep -q '"embedding"' "$work/body" || fail "the answer has no embedding"

step '5. What the ledger wrote: one entry for each call'
note '$ pax-ledger entries'
export PAX_LEDGER_DB="$work/data/ledger.db"
waited=0
while dist/pax-ledger entries >"$work/entries" && [ "$(wc -l <"$work/entries")" -lt 3 ] && [ $waited -lt 100 ]; do
    waited=$((waited + 1))
    sleep 0.1
done
# field NAME: its value in one entry (a JSON object on one line; these names are in it once).
field() { printf '%s\n' "$entry" | sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"; }
while IFS= read -r entry; do
    echo
    for name in exchange_id account model provider tokens_input tokens_output cost_pax rate_table_v provenance; do
        printf '  %-14s %s\n' $name "$(field $name)"
    done
done <"$work/entries"
count=$(($(wc -l <"$work/entries")))
[ $count -eq 3 ] || fail "the ledger has $count entries, not 3"

step '6. Replay: every chain, every price and every sum again, from the entries alone'
note '$ pax-ledger replay'
dist/pax-ledger replay || fail "the replay found a difference"

step '7. Stop'
kill -TERM "$stack"
wait "$stack" || { stack=; fail "the stack did not stop in order"; }
stack=
sed -n '/^stopp/p' "$work/up.log"
printf '\nDone. `make up` runs the same in the foreground, for your own calls.\n'
