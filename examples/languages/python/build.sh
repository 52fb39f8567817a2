#!/usr/bin/env bash
# Makes a plugin of fresh.py:
#
#     ./build.sh [OUTPUT]      (default: fresh.wasm, in this folder)
#
# by componentize-py, which `pip install componentize-py==0.25.1` installs; in
# Waypool's repository tools/setup.sh has done that, in target/venv.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
output=$(realpath -m "${1:-$here/fresh.wasm}")
cd "$here"

# The contract, of the Waypool that is to run the plugin.
contract=${WAYPOOL_WIT:-../../../plugin-sdk/wit/waypool.wit}

export PATH="$PATH:$(realpath -m ../../../target/venv/bin)"
command -v componentize-py > /dev/null || {
    echo "build.sh: \`pip install componentize-py==0.25.1\` first, or activate the environment that has it" >&2
    exit 1
}

# A copy, because Python leaves a cache beside what it imports.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/wit/deps" "$work/app" "$(dirname "$output")"
cp fresh.wit "$work/wit/"
cp "$contract" "$work/wit/deps/"
cp fresh.py "$work/app/"

# Nothing of WASI is left in the component: a plugin has no clock, no files, no
# network and no standard output. So all imports have to stand at the top of the
# file: they are done now.
componentize-py --quiet --wit-path "$work/wit" --world fresh \
    componentize --stub-wasi --python-path "$work/app" --output "$work/fresh.wasm" fresh
# In one step: Waypool may be watching the file.
mv "$work/fresh.wasm" "$output.new"
mv "$output.new" "$output"
