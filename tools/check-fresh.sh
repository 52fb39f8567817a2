#!/usr/bin/env bash
# Does what is committed on main pass by itself? Clones it to a temporary folder
# and runs .ci/run there, so that nothing uncommitted or built earlier helps.
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
clone=$(mktemp -d)
trap 'rm -rf "$clone"' EXIT

git clone --quiet --branch main "$repository" "$clone/waypool"
cd "$clone/waypool"
echo "fresh clone of $(git rev-parse --short HEAD) in $clone/waypool"
unset CARGO_TARGET_DIR
CI=true bash .ci/run < /dev/null
