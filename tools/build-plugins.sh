#!/usr/bin/env bash
# Builds the plugins that Waypool embeds, and those that its tests need:
#
#     tools/build-plugins.sh [OUT_DIR]      (default: target/plugins)
#
# makes OUT_DIR/NAME.wasm (the component) and OUT_DIR/NAME.cwasm (compiled
# ahead of time). Files are only rewritten if they change; without changes to
# the plugins the whole thing takes about a second.
set -euo pipefail
cd "$(dirname "$0")/.."

out=${1:-target/plugins}
guest_target=wasm32-unknown-unknown
# One folder for all guests: with Debian's toolchain, Rust's standard library is
# built in it once.
guest_dir=target/guest

# Package and name of the plugin. `hostile` misbehaves on demand, for tests.
plugins=(
    "waypool-classify classify"
    "waypool-balance balance"
    "waypool-rewrite rewrite"
    "waypool-hostile hostile"
    "waypool-witness witness"
    "waypool-canary canary"
    "waypool-cost-guard cost_guard"
    "waypool-firewall firewall"
    "waypool-house-rules house_rules"
    "waypool-least-load least_load"
    "waypool-primary-only primary_only"
    "waypool-tenant tenant"
    "waypool-throttle throttle"
)

packages=()
for plugin in "${plugins[@]}"; do
    packages+=(-p "${plugin% *}")
done

# The flags of an outer cargo are not for the guests.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS RUSTC RUSTC_WRAPPER CARGO_BUILD_TARGET CARGO_TARGET_DIR
build=(build --quiet --lib --profile guest --target "$guest_target" --target-dir "$guest_dir" "${packages[@]}")

have_rustup_target() {
    local libdir
    libdir=$(rustc --print target-libdir --target "$guest_target" 2>/dev/null) && [ -d "$libdir" ] &&
        ls "$libdir"/libstd-*.rlib >/dev/null 2>&1
}

have_debian_toolchain() {
    [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && debian_linker >/dev/null &&
        [ -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/std" ]
}

# The newest wasm-ld there is.
debian_linker() {
    local newest
    newest=$(compgen -G '/usr/bin/wasm-ld-*' | sort -V | tail -n 1) && [ -n "$newest" ] && echo "$newest"
}

if have_rustup_target; then
    cargo "${build[@]}"
elif have_debian_toolchain; then
    # Debian has the standard library's source rather than the target's
    # binaries; building it needs the compiler's own features.
    env -u RUSTUP_TOOLCHAIN PATH=/usr/bin:/bin RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$(debian_linker)" \
        /usr/bin/cargo "${build[@]}" -Zbuild-std=std,panic_abort
else
    cat >&2 <<'HELP'
build-plugins: no Rust toolchain that can compile for wasm32-unknown-unknown. Install one, either way:

  with rustup:
    rustup target add wasm32-unknown-unknown
  on Debian, or where rustup cannot download:
    apt-get update && apt-get install -y --no-install-recommends rustc-web cargo-web rust-web-src lld-22
HELP
    exit 1
fi

cores=()
for plugin in "${plugins[@]}"; do
    package=${plugin% *}
    cores+=("${plugin#* }=$guest_dir/$guest_target/guest/${package//-/_}.wasm")
done

# Release: cranelift itself is many times slower without optimisation.
cargo run --quiet --release -p waypool-plugin-engine --bin build-plugins -- "$out" "${cores[@]}"
