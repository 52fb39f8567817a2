#!/usr/bin/env bash
# Runs one phase of the tests and notes how long it took:
#
#     tools/timed.sh NAME COMMAND [ARGUMENT]...
set -uo pipefail

name=$1
shift
echo "=== $name: $*"
start=$SECONDS
"$@"
status=$?
mkdir -p target
outcome=ok
[ "$status" = 0 ] || outcome="failed ($status)"
printf '%-12s %5d s  %s\n' "$name" $((SECONDS - start)) "$outcome" | tee -a target/timings.txt
exit "$status"
