#!/usr/bin/env bash
# Makes a plugin of fresh.js:
#
#     ./build.sh [--quickjs] [OUTPUT]      (default: fresh.wasm, in this folder)
#
# The JavaScript engine in it is SpiderMonkey (by componentize-js), or with
# --quickjs QuickJS (by componentize-qjs). `npm ci` in this folder installs both;
# in Waypool's repository tools/setup.sh has done that, in target/npm.
set -euo pipefail

engine=spidermonkey
if [ "${1:-}" = --quickjs ]; then
    engine=quickjs
    shift
fi
here=$(cd "$(dirname "$0")" && pwd)
output=$(realpath -m "${1:-$here/fresh.wasm}")
cd "$here"

# The contract, of the Waypool that is to run the plugin.
contract=${WAYPOOL_WIT:-../../../plugin-sdk/wit/waypool.wit}

for modules in node_modules ../../../target/npm/node_modules; do
    [ -d "$modules/componentize-qjs" ] && break
done
[ -d "$modules/componentize-qjs" ] || { echo "build.sh: run \`npm ci\` in $here first" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/wit/deps" "$(dirname "$output")"
cp fresh.wit "$work/wit/"
cp "$contract" "$work/wit/deps/"

# Nothing of WASI is left in the component: a plugin has no clock, no files, no
# network and no standard output.
if [ "$engine" = quickjs ]; then
    node "$modules/componentize-qjs/cli.mjs" --js fresh.js --wit "$work/wit" --world fresh \
        --sync --stub-wasi --output "$work/fresh.wasm" > "$work/said" || { cat "$work/said" >&2; exit 1; }
else
    node "$modules/@bytecodealliance/componentize-js/src/cli.js" fresh.js --wit "$work/wit" --world-name fresh \
        --disable stdio random clocks http fetch-event --out "$work/fresh.wasm"
fi
# In one step: Waypool may be watching the file.
mv "$work/fresh.wasm" "$output.new"
mv "$output.new" "$output"
