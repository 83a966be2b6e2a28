#!/bin/sh
# `make demo`: the whole stack, calls as a person would make them and calls that the gate refuses, what the ledger wrote,
# and the end.
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
# The stand-in plays providers that charge callers' own keys: step 7 shows such a call.
dist/pax-stack up --standin --own-keys --port 0 --data-dir "$work/data" -- --pace-ms 40 >"$work/up.log" 2>&1 &
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

token=mtx-demo-free
expected=200
requests=0 refused=0

# call TITLE PATH BODY [CURL OPTION...]: shows the command, runs it, checks the status, shows the answer.
call() {
    step "$1"
    path=$2 body=$3
    shift 3
    requests=$((requests + 1))
    [ "$expected" = 200 ] || refused=$((refused + 1))
    note "\$ curl $url$path -H 'Authorization: Bearer $token' -H 'Content-Type: application/json' \\"
    note "    ${*:+$(printf '%s ' "$@" | sed "s/-H \(.*\) $/-H '\1' /")}-d '$body'"
    # The headers go to a file, so that a stream is shown as it comes.
    curl --silent --show-error --max-time 60 --dump-header "$work/head" "$@" "$url$path" \
        -H "Authorization: Bearer $token" -H 'Content-Type: application/json' -d "$body" |
        tee "$work/body" | sed -u -e '/^$/d' -e 's/^data: {"id":.*"choices":/data: {... "choices":/' \
            -e 's/^\(data: .*\),"usage":.*/\1 ...}/'
    echo
    grep -i '^x-matrix' "$work/head" | tr -d '\r' | sed 's/^/  /' || true
    status=$(sed -n '1s/^HTTP[^ ]* \([0-9]*\).*/\1/p' "$work/head")
    [ "$status" = "$expected" ] || fail "the call was answered $status, not $expected"
}

# get TITLE PATH: the same without a body.
get() {
    step "$1"
    note "\$ curl $url$2 -H 'Authorization: Bearer $token'"
    requests=$((requests + 1))
    curl --silent --show-error --fail --max-time 60 "$url$2" -H "Authorization: Bearer $token" >"$work/body" ||
        fail "the call failed"
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

export PAX_LEDGER_DB="$work/data/ledger.db"

step '5. The gate: which models this caller may use in the slot "planner", and at which rates'
note "\$ curl $url/v1/models -H 'Authorization: Bearer $token' -H 'X-Matrix-Slot: planner'"
requests=$((requests + 1))
curl --silent --show-error --fail --max-time 60 "$url/v1/models" -H "Authorization: Bearer $token" \
    -H 'X-Matrix-Slot: planner' >"$work/body" || fail "no list of models"
sed -e 's/},{"id"/},\n{"id"/g' "$work/body" |
    sed -n 's/.*"id":"\([^"]*\)".*"pax_per_mtok":{\([^}]*\)}.*/  \1  \2/p' | tr -d '"'
echo

expected=403
call '6. A model that is not on the list is refused' /v1/chat/completions \
    '{"model":"accounts/fireworks/models/gpt-oss-20b","messages":[{"role":"user","content":"Say hello"}]}'

expected=200
call '7. With a provider key of the caller'"'"'s own it is not: the caller pays the provider, and the call costs 0 PAX' \
    /v1/chat/completions \
    '{"model":"accounts/fireworks/models/gpt-oss-20b","messages":[{"role":"user","content":"Say hello"}]}' \
    -H 'X-Matrix-BYO-API-Key: sk-my-own-key'
tr -d '\r' <"$work/head" | grep -qi '^x-matrix-cost-pax: 0\.0*$' || fail "the call with an own key was charged"

step '8. A daily cap that has room for two calls, and a third one'
note '$ pax-ledger account create small --tier free --daily-cap 0.0036'
dist/pax-ledger account create small --tier free --daily-cap 0.0036
token=$(dist/pax-ledger token add small --name demo 2>/dev/null)
note '(A call without max_tokens may cost the 32,768 tokens that the model can answer: so much is set aside while it runs.
Two run here for a moment at the same time.)'
slow='{"model":"accounts/fireworks/models/gpt-oss-120b","messages":[{"role":"user","content":"Say hello"}],"stream":true}'
# begin N: a slow call in the background; its chunks come into slowN.
begin() {
    requests=$((requests + 1))
    curl --silent --no-buffer --max-time 60 "$url/v1/chat/completions" -H "Authorization: Bearer $token" \
        -H 'Content-Type: application/json' -d "$slow" --output "$work/slow$1" --dump-header "$work/head$1" &
    running="$running $!"
}
# patiently COMMAND: again until it succeeds, for ten seconds.
patiently() {
    waited=0
    until "$@"; do
        waited=$((waited + 1))
        [ $waited -lt 200 ] || return 1
        sleep 0.05
    done
}
# begun N: waits until its first chunk is there.
begun() { patiently [ -s "$work/slow$1" ] || fail "a call did not begin"; }
running=
begin 1
begin 2
begun 1
begun 2
expected=429
call 'The third, meanwhile:' /v1/chat/completions "$chat}"
for pid in $running; do wait "$pid" || fail "one of the two calls failed"; done
expected=200
call 'And when they are done, for what they really cost:' /v1/chat/completions "$chat}"

sleep 0.3
get "9. The caller's own credits" /v1/credits
sed -e 's/[{}]//g' -e 's/,"/\n"/g' "$work/body" | sed -e 's/^/  /' -e 's/"//g' -e 's/:/  /'
grep -q '"account":"small"' "$work/body" || fail "these are not the caller's credits"
echo
get '... and its own entries' '/v1/credits/ledger?format=csv'
cut -d, -f1,2,7,18,22,25 "$work/body" | sed 's/^/  /'

step '10. Prepaid credit that has room for one call, a second one, and a correction'
note "\$ pax-ledger account create paid --tier credit; pax-ledger grant paid 0.002 --class purchase --reason 'invoice 1'"
dist/pax-ledger account create paid --tier credit
dist/pax-ledger grant paid 0.002 --class purchase --reason 'invoice 1' 2>/dev/null
token=$(dist/pax-ledger token add paid --name demo 2>/dev/null)
running=
begin 3
begun 3
get 'While a call runs, the most that it can cost is held in the ledger:' /v1/credits
sed -e 's/[{}]//g' -e 's/,"/\n"/g' "$work/body" | grep -E 'balance|held|available' | sed -e 's/^/  /' -e 's/"//g' -e 's/:/  /'
expected=402
call 'A second call, meanwhile:' /v1/chat/completions "$chat}"
for pid in $running; do wait "$pid" || fail "the call failed"; done
exchange=$(tr -d '\r' <"$work/head3" | sed -n 's/^x-matrix-exchange-id: //p')
note "\$ pax-ledger correct $exchange --to 0 --reason 'a bad answer'"
patiently dist/pax-ledger correct "$exchange" --to 0 --reason 'a bad answer' 2>/dev/null ||
    fail "the call has no entry to be corrected"

step '11. What the ledger wrote: one entry for each call that went to the provider'
note '$ pax-ledger entries'
count_entries() { dist/pax-ledger entries | grep '"kind":"debit"' >"$work/entries" && [ "$(wc -l <"$work/entries")" -ge 8 ]; }
patiently count_entries || true
# field NAME: its value in one entry (a JSON object on one line; these names are in it once).
field() { printf '%s\n' "$entry" | sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"; }
while IFS= read -r entry; do
    echo
    for name in exchange_id account funding model tokens_input tokens_output cost_pax rate_table_v provenance; do
        printf '  %-14s %s\n' $name "$(field $name)"
    done
done <"$work/entries"
count=$(($(wc -l <"$work/entries")))
[ $count -eq 8 ] || fail "the ledger has $count entries of calls, not 8"

step '12. Replay: every chain, every price and every sum again, from the entries alone'
note '$ pax-ledger replay'
dist/pax-ledger replay || fail "the replay found a difference"

step '13. Stop'
kill -TERM "$stack"
wait "$stack" || { stack=; fail "the stack did not stop in order"; }
stack=
sed -n '/^stopp/p' "$work/up.log"
# As many as `make help` says.
[ "$requests $refused" = '15 3' ] || fail "these were $requests requests, $refused of them refused: say so in the Makefile"
printf '\nDone: %s requests, of which %s were refused and %s became entries.\n' $requests $refused "$count"
printf '`make up` runs the same in the foreground, for your own calls.\n'
