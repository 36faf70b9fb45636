# The commands a person types. Everything is installed from the three lock files into .venv;
# nothing outside this folder is touched, no root and no Docker is needed.
SHELL := /bin/sh
PYTHON ?= python3
UV_VERSION := 0.13.9
TEST_PROCESSES ?= 2
UV := .bootstrap/bin/uv
BIN := .venv/bin
OUT ?= out/demo
INSTALL := $(UV) pip install --quiet --python $(BIN)/python

# No process of ours goes on with gRPC after a fork: what is forked runs another program at once. gRPC's own handlers
# would start its threads in that child for the moment between, where they can take it down.
export GRPC_ENABLE_FORK_SUPPORT := 0

.DEFAULT_GOAL := help
.PHONY: help demo up test check gen bench simulate mutate torture score browser-deps lock clean

help: ## show these lines
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

demo: .venv/runtime.stamp ## hum in, song out: run everything once and write out/demo
	@$(BIN)/cadenza demo --out "$(OUT)" $(if $(HUM),--hum "$(HUM)")

up: $(if $(SANDBOX),.venv/dev.stamp,.venv/runtime.stamp) ## keep the whole mesh running on this machine (SANDBOX=1: with stand-ins for all vendors)
	@exec env SANDBOX="$(SANDBOX)" $(BIN)/cadenza up

test: .venv/dev.stamp ## every test (ARGS="tests/wallet -x" for some)
	@$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile $(ARGS)

check: .venv/dev.stamp ## every linter and contract
	@$(BIN)/python -m tests.contract.check

gen: .venv/dev.stamp ## generate gen/ from proto/, and .env.example from the settings
	@$(BIN)/python -m tests.contract.generate
	@$(BIN)/python -m tests.contract.settings

mutate: .venv/dev.stamp ## mutants of the code of money and leases, and who notices them (MOST=10 of each module, MODULE=services.wallet.domain.credit, README=1 for the table)
	@$(BIN)/python -m tests.mutate $(if $(MODULE),--module $(MODULE)) $(if $(MOST),--most $(MOST)) $(if $(README),--readme)

simulate: .venv/dev.stamp ## seeds of the simulated mesh (SEEDS=1000 FIRST=0, README=1 for its table; SEED=7 tells one; BUG=lease-ignored)
	@$(BIN)/python -m tests.simulate $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000) --first $(or $(FIRST),0)) $(if $(BUG),--bug $(BUG)) $(if $(README),--readme)

bench: .venv/bench.stamp ## every benchmark against its reference; writes the table in README
	@$(BIN)/python -m tests.bench

score: .venv/dev.stamp ## every figure asked of the engine, with its control, and out/score/index.html to look at (PART=song, README=1)
	@$(BIN)/python -m tests.score $(if $(PART),--part $(PART)) $(if $(README),--readme)

torture: .venv/dev.stamp ## kill everything for ROUNDS rounds (SEED=7, README=1 writes the table) and check every promise
	@$(BIN)/python -m tests.torture --rounds $(or $(ROUNDS),10) $(if $(SEED),--seed $(SEED)) $(if $(README),--readme)

browser-deps: .venv/dev.stamp ## install the Chromium that the browser tests drive (as root, on Debian)
	@$(BIN)/python -m tests.e2e.chromium

lock: $(UV) ## resolve the three lock files anew
	$(UV) pip compile -q pyproject.toml --upgrade --generate-hashes --no-header --no-annotate --universal --python-version 3.11 -o requirements.lock
	$(UV) pip compile -q pyproject.toml --extra dev -c requirements.lock --generate-hashes --no-header --no-annotate --universal --python-version 3.11 -o requirements-dev.lock
	$(UV) pip compile -q --group bench -c requirements-dev.lock --generate-hashes --no-header --no-annotate --universal --python-version 3.11 -o requirements-bench.lock

clean: ## remove what was installed and made here (the data in .cadenza stays)
	rm -rf .venv .bootstrap out .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(UV):
	@echo "installing uv $(UV_VERSION) into .bootstrap"
	@$(PYTHON) -m venv .bootstrap || { echo "python3 has no venv module. On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	@.bootstrap/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(BIN)/python: | $(UV)
	@$(UV) venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv

.venv/runtime.stamp: requirements.lock pyproject.toml | $(BIN)/python
	@echo "installing Cadenza into .venv"
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m services.mesh.warm
	@touch $@

.venv/dev.stamp: requirements-dev.lock pyproject.toml | $(BIN)/python
	@echo "installing Cadenza and its test tools into .venv"
	@$(INSTALL) --require-hashes -r requirements-dev.lock
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m services.mesh.warm
	@touch .venv/runtime.stamp $@

.venv/bench.stamp: requirements-bench.lock .venv/dev.stamp
	@echo "installing what the benchmarks compare with into .venv"
	@$(INSTALL) --require-hashes -r requirements-bench.lock
	@touch $@
