#!/bin/sh
# quietly.sh WHAT COMMAND...: runs a build and shows one line of it: what it is, how far it has come, and how long it took.
# If it fails, all that it said is shown. V=1 shows all of it as it comes.
#
# On a terminal the line counts as it goes. Elsewhere (a log, CI) there is one line when it takes longer than a second,
# one each half minute, and one at the end.
set -u

what=$1
shift
if [ -n "${V:-}" ]; then
    printf '· %s\n' "$what"
    exec "$@"
fi

log=$(mktemp) || exit 1
child=
stop() {
    trap - INT TERM
    [ -z "$child" ] || { kill -TERM "$child" && wait "$child"; } 2>/dev/null
    rm -f "$log"
    [ ! -t 1 ] || printf '\n'
    exit "$1"
}
trap 'stop 130' INT
trap 'stop 143' TERM

# What cargo has begun to compile; nothing for other commands.
progress() {
    crates=$(grep -cE '^ *(Compiling|Checking) ' "$log")
    case $crates in 0) ;; 1) printf ', 1 crate' ;; *) printf ', %s crates' "$crates" ;; esac
}
seconds() { echo $(($(date +%s) - began)); }

began=$(date +%s)
"$@" >"$log" 2>&1 </dev/null &
child=$!
waited=0
while kill -0 "$child" 2>/dev/null; do
    if [ -t 1 ]; then
        printf '\r· %s: %s s%s ' "$what" "$(seconds)" "$(progress)"
    elif [ $waited -eq 5 ]; then
        printf '· %s ...\n' "$what"
    elif [ $waited -gt 0 ] && [ $((waited % 150)) -eq 0 ]; then
        printf '· %s: %s s%s ...\n' "$what" "$(seconds)" "$(progress)"
    fi
    sleep 0.2
    waited=$((waited + 1))
done
wait "$child"
status=$?

[ ! -t 1 ] || printf '\r'
if [ $status -eq 0 ]; then
    printf '· %s: %s s%s     \n' "$what" "$(seconds)" "$(progress)" | sed 's/ *$//'
else
    printf '· %s FAILED after %s s:\n' "$what" "$(seconds)"
    cat "$log" >&2
fi
rm -f "$log"
exit $status
