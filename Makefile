# The whole of a person's day. `make help` says what there is.
#
# Settings, by environment or on make's line (`make up GATEWAY_PORT=9000`): see `make help`.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# On make's line they are make's variables only; the programs read the environment. Unset ones stay unset.
SETTINGS := GATEWAY_PORT GATEWAY_HOSTS UPSTREAM UPSTREAM_OWN_KEYS DATA_DIR LEDGER_DB LEDGERS CONCURRENCY CALLS_LOG PAX_ENVOY PAX_WASM_TOOLCHAIN PAX_CAPTURES \
            PAX_LITELLM_PRICES PAX_TEST_ENVOYS CARGO_TARGET_DIR BENCH_ROUNDS BENCH_CALLS BENCH_ANYWAY BENCH_TRIES BENCH_BEFORE BENCH_VARIANTS \
            SOAK_CALLS SOAK_ACCOUNTS SOAK_CONNECTIONS SOAK_TRAP_S SOAK_TRAPS PAX_BENCH_ENTRIES PAX_BENCH_ACCOUNTS PAX_BENCH_FILE PAX_BENCH_LEDGER PAX_BENCH_MS V
$(foreach name,$(SETTINGS),$(if $(filter-out undefined,$(origin $(name))),$(eval export $(name))))

# Every recipe that builds runs with the toolchain that envoy/tools.sh found.
RUST := . ./.tools/toolchain;
# One line of a build, with its time; all of it where it fails, or with V=1.
QUIETLY := sh envoy/quietly.sh
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
PROGRAMS := pax-ledger pax-ratecard pax-standin pax-stack pax-drain

.PHONY: FORCE help tools wasm binaries stack demo up reload compose compose-test test bench bench-copy bench-ledger bench-replay soak fuzz simulate check fmt clippy test-cards test-rust test-sdk test-tools test-compose test-patroni clean

help: ## What there is
	@echo 'make TARGET [NAME=VALUE ...]'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-12s %s\n", $$1, $$2}'
	@echo
	@echo 'Settings, by environment or on this line:'
	@echo '  GATEWAY_PORT=10000     the port that calls are served at, on 127.0.0.1'
	@echo '  UPSTREAM=host:port     every provider is this plain-HTTP server (a local vLLM, Ollama, llama.cpp)'
	@echo '  UPSTREAM_OWN_KEYS=1    that server charges callers own keys itself; never for one that asks for no key'
	@echo '  GATEWAY_HOSTS=a,b:80   hosts that it answers to beside its port on loopback; * alone: all of them'
	@echo '  DATA_DIR=./data        where the database (ledger.db) and the logs are'
	@echo '  LEDGER_DB=postgres://USER:PASSWORD@HOST/DATABASE   that database instead of ledger.db; LEDGERS=3 processes on it'
	@echo '  CONCURRENCY=2          worker threads of Envoy'
	@echo '  CALLS_LOG=file|-|off   where the line per call goes; DATA_DIR/run/PORT/calls.log'
	@echo '  BENCH_CALLS=100000     how many calls make bench watches the memory over; BENCH_ROUNDS=7'
	@echo '  BENCH_ANYWAY=1         make bench measures on a busy host too; BENCH_BEFORE=old.wasm: another module as well'
	@echo '  V=1                    all that a build says, not one line of it'
	@echo '  OPENAI_API_KEY=... FIREWORKS_API_KEY=... and so on (envoy/providers.json): the real providers, over TLS'

demo: stack ## Bring everything up, make 15 requests (3 are refused), show the ledger, stop
	@sh envoy/demo.sh

up: stack ## Run the gateway in the foreground; Ctrl-C stops all of it
	@exec dist/pax-stack up

reload: ## Give the gateway of `make up` the rate cards of ratecards/, without cutting a call
	@dist/pax-stack reload

compose: stack ## Build the image for docker compose from what is built here, write .env, and say how to start it
	@sh envoy/compose.sh image

compose-test: stack ## The compose stack killed, rotated, upgraded and stopped under load: entries against answers
	@sh tests/compose/run.sh

test: stack test-cards test-rust test-sdk test-tools test-compose ## Everything: unit, property and scenario tests, real Envoy, openai SDK, compose

bench: stack ## What the gateway costs, against bare Envoy: a table, and dist/bench.json (five minutes)
	@sh envoy/wasm.sh bench
	@case '$(BENCH_VARIANTS)' in '' | 0) ;; *) sh envoy/wasm.sh talc && sh envoy/wasm.sh no_template ;; esac
	@$(RUST) $(QUIETLY) 'building the benchmark' "$$CARGO" build --profile tools --locked --package pax-bench
	@$(TARGET_DIR)/tools/pax-bench

bench-replay: tools ## What a replay costs: a ledger of a million entries is made, and replayed (ten minutes); PAX_BENCH_ENTRIES=100000
	@$(RUST) $(QUIETLY) 'building the benchmark' "$$CARGO" bench --profile tools --locked --workspace --bench replay --no-run
	@$(RUST) "$$CARGO" bench --profile tools --locked --workspace --bench replay

bench-copy: tools ## The same ledger copied to PostgreSQL and back, each copy proved (fifteen minutes)
	@sh envoy/tools.sh postgres
	@$(RUST) $(QUIETLY) 'building the benchmark' "$$CARGO" bench --profile tools --locked --workspace --bench replay --no-run
	@$(RUST) PAX_BENCH_COPY=1 "$$CARGO" bench --profile tools --locked --workspace --bench replay

bench-ledger: tools ## The ledger on SQLite and on PostgreSQL, by turns in one run; BENCH_ROUNDS=5
	@sh envoy/tools.sh postgres
	@$(RUST) $(QUIETLY) 'building the benchmark' "$$CARGO" bench --profile tools --locked --workspace --bench engines --no-run
	@$(RUST) "$$CARGO" bench --profile tools --locked --workspace --bench engines

soak: stack ## A million calls of 100,000 accounts while workers trap: entries against answers; SOAK_CALLS=, SOAK_ACCOUNTS=, SOAK_TRAP_S=
	@sh envoy/wasm.sh faults
	@$(RUST) $(QUIETLY) 'building the benchmark' "$$CARGO" build --profile tools --locked --package pax-bench
	@$(TARGET_DIR)/tools/pax-bench soak

fuzz: .tools/toolchain ## Random bytes against every reader, compared with serde_json: MINUTES=10, SEED=n, or CASE=file
	@$(RUST) PAX_FUZZ_MINUTES='$(or $(MINUTES),1)' PAX_FUZZ_SEED='$(SEED)' PAX_FUZZ_CASE='$(abspath $(CASE))' \
	    "$$CARGO" test --profile tools --locked --quiet --package pax-gateway --test fuzz

simulate: .tools/toolchain ## The driver among failing workers, Envoys and ledgers: SEEDS=1000 [FROM=n], or SEED=n with its trace
	@$(RUST) $(QUIETLY) 'building the simulator' "$$CARGO" build --profile tools --locked --package pax-simulate
	@SEEDS='$(SEEDS)' FROM='$(FROM)' SEED='$(SEED)' $(TARGET_DIR)/tools/pax-simulate

check: stack fmt clippy test-cards test-rust test-sdk test-tools ## Formatting, lints (native and wasm32), and every test

wasm: .tools/toolchain ## Build the release module dist/pax_gateway.wasm and print its size
	@sh envoy/wasm.sh

tools: ## Find or install Rust, a way to wasm32, and Envoy (into .tools/)
	@sh envoy/tools.sh rust envoy

# It names the compilers by their paths: those of another machine, or ones that are gone since, are looked for anew.
.tools/toolchain: FORCE
	@sh -c '. ./$@ && for tool in "$$CARGO" "$$RUSTC" "$$WASM_CARGO" "$$WASM_RUSTC" $$WASM_LD; do [ -x "$$tool" ] || exit 1; done' \
	    2>/dev/null || sh envoy/tools.sh rust

binaries: .tools/toolchain ## Build the ledger, the rate cards' tool, the stand-in provider and the stack's runner into dist/
	@$(RUST) $(QUIETLY) 'building the ledger, the stand-in provider and the runner' \
	    "$$CARGO" build --profile tools --locked $(PROGRAMS:%=--package %)
	@mkdir -p dist
	@for program in $(PROGRAMS); do \
	    cmp -s $(TARGET_DIR)/tools/$$program dist/$$program || \
	    { cp $(TARGET_DIR)/tools/$$program dist/$$program.new && mv dist/$$program.new dist/$$program; } || exit 1; \
	done

# In this order, also under -j: the tools first, and one cargo at a time.
stack:
	@$(MAKE) --no-print-directory tools
	@$(MAKE) --no-print-directory wasm
	@$(MAKE) --no-print-directory binaries

test-cards: binaries
	@echo '· the rate cards'
	@dist/pax-ratecard check ratecards

test-rust: stack
	@sh envoy/wasm.sh faults
	@sh envoy/wasm.sh before
	@sh envoy/tools.sh postgres
	@[ '$(PAX_TEST_ENVOYS)' = no ] || sh envoy/tools.sh envoys
	@$(RUST) $(QUIETLY) 'building the Rust tests' "$$CARGO" test --workspace --locked --profile tools --no-run
	@echo '· Rust tests'
	@$(RUST) "$$CARGO" test --workspace --locked --profile tools # what ships is what is tested, and built once
	@echo '· the ledger on PostgreSQL'
	@$(RUST) PAX_TEST_DB=postgres "$$CARGO" test --workspace --locked --profile tools --test suite -- --test-threads=6 # they wait, mostly

test-sdk: stack
	@sh envoy/tools.sh prometheus || [ $$? -eq 75 ] # what is left out without it was said
	@if [ -d tests/sdk ]; then \
	    sh envoy/tools.sh python && echo '· the stock openai SDK through the whole stack' && \
	    .tools/sdk/bin/python -m pytest -q tests/sdk; \
	fi

test-tools: tools
	@echo '· the tools in a copied checkout, and what a build says'
	@sh tests/tools.sh

# Exit status 75: no engine can run here, which was said. PAX_TEST_COMPOSE=no leaves it out (it takes minutes).
test-compose: stack
	@if [ '$(PAX_TEST_COMPOSE)' = no ]; then echo '*** the compose test was left out: PAX_TEST_COMPOSE=no'; else \
	    sh tests/compose/run.sh || [ $$? -eq 75 ]; fi

test-patroni: .tools/toolchain ## PostgreSQL under Patroni loses its primary ten times: no acknowledged row may be missing (ten minutes)
	@sh envoy/tools.sh patroni
	@$(RUST) $(QUIETLY) 'building the tests of Patroni' "$$CARGO" test --profile tools --locked --package pax-postgres --package pax-ledger --test patroni --test failover --no-run
	@$(RUST) "$$CARGO" test --profile tools --locked --package pax-postgres --test patroni -- --ignored --nocapture --test-threads=1
	@$(RUST) "$$CARGO" test --profile tools --locked --package pax-ledger --test failover -- --ignored --nocapture

# Debian's cargo comes without them; a checkout is still built and tested with it.
fmt: .tools/toolchain
	@$(RUST) if "$$CARGO" fmt --version >/dev/null 2>&1; \
	    then echo '· formatting' && "$$CARGO" fmt --all --check; \
	    else echo '· formatting NOT checked: this toolchain has no rustfmt'; fi

clippy: .tools/toolchain
	@$(RUST) if "$$CARGO" clippy --version >/dev/null 2>&1; \
	    then $(QUIETLY) 'lints' "$$CARGO" clippy --workspace --all-targets --locked -- -D warnings; \
	    else echo '· lints NOT checked: this toolchain has no clippy'; fi
	@$(RUST) if "$$WASM_CARGO" clippy --version >/dev/null 2>&1; \
	    then sh envoy/wasm.sh clippy; \
	    else echo '· lints for wasm32 NOT checked: this toolchain has no clippy'; fi

clean: ## Remove what was built (not .tools, not the data)
	@rm -rf dist target
