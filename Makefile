# Every target does its own set-up, and is quick when there is nothing to do.
# More words for the program behind a target go into ARGS: make demo ARGS=--help

export PATH := $(HOME)/.cargo/bin:$(PATH)
# One profile for the program and its tests, and always the whole workspace:
# so every dependency is compiled once.
CARGO_FLAGS = --release --workspace
TEST = cargo test $(CARGO_FLAGS)
CLIPPY = cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings
export WAYPOOL_BIN = $(CURDIR)/target/release/waypool
export WAYPOOL_PYTHON = $(CURDIR)/target/venv/bin/python
# What runs against PostgreSQL 18 as well, besides the system's.
NEWER = WAYPOOL_PG_BIN=$(CURDIR)/target/pg18/bin
NEWER_TESTS = conversations clients_protocol protocol_3_2 routing_cases routing_state cancel copy clients_rust
# Of PostgreSQL's own regression tests; all of them in `make soak`.
REGRESSION = test_setup boolean int4 strings numeric create_table copy2 prepare portals transactions guc temp plpgsql \
	errors prepared_xacts
ARGS =

.PHONY: help setup plugins build demo test lint test-unit test-e2e soak bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: ## install what building, testing and measuring needs and this machine lacks
	@tools/setup.sh bench

plugins: ## build the default plugins: target/plugins/*.wasm
	@tools/setup.sh demo
	@tools/build-plugins.sh

build: plugins ## build the program: target/release/waypool
	@cargo build $(CARGO_FLAGS) --bins

demo: build ## a throwaway PostgreSQL cluster with Waypool in front
	@$(WAYPOOL_BIN) demo $(ARGS)

test: ## all that CI checks: format, lints, unit, plugin and end-to-end tests
	@mkdir -p target && rm -f target/timings.txt
	@tools/timed.sh setup tools/setup.sh test
	@tools/timed.sh format cargo fmt --all --check
	@tools/timed.sh plugins tools/build-plugins.sh
	@tools/timed.sh build cargo build $(CARGO_FLAGS) --bins
	@tools/timed.sh lint $(CLIPPY)
	@tools/timed.sh compile $(TEST) --no-run
	@tools/timed.sh unit $(TEST) --lib --bins
	@tools/timed.sh end-to-end $(TEST) --no-fail-fast --test '*'
	@tools/timed.sh postgresql-18 env $(NEWER) $(TEST) --no-fail-fast $(addprefix --test ,$(NEWER_TESTS))
	@tools/timed.sh regression tests/regression/regression.py $(REGRESSION)
	@tools/timed.sh doc $(TEST) --doc

lint: plugins ## check format and lints only
	@cargo fmt --all --check
	@$(CLIPPY)

test-unit: plugins ## unit tests only, of the proxy and the plugins; ARGS=name picks some
	@$(TEST) --lib --bins -- $(ARGS)

test-e2e: build ## tests against real servers only; ARGS=name picks some
	@tools/setup.sh test
	@$(TEST) --test '*' -- $(ARGS)

soak: build ## the long-running tests
	@tools/setup.sh test
	@$(TEST) --test '*' -- --ignored soak $(ARGS)
	@tests/regression/regression.py
	@tests/regression/drivers.py

bench: build ## measure beside PgBouncer, Pgpool-II and HAProxy; ARGS=--quick for a glance, ARGS="--only select"
	@tools/setup.sh bench
	@tests/bench/bench.py $(ARGS)

clean: ## remove all that was built
	@rm -rf target
