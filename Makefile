# The commands of this repository. `make run` and `make test` work in a fresh clone on a machine with Python 3.11, make and git.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The first Python that is new enough.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$name; break; fi; done)
BIN := .venv/bin
PY := $(BIN)/python
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command 'make lock'
PYTEST_ARGS ?=
# Two for each core of a small machine: tests often wait for something. Who runs what and when is in tests/support/together.py.
TESTS_AT_ONCE ?= 3
# Says what is so within a second, and so has the machine to itself, as an install has.
ALONE := tests/faults/test_simulation.py
ONLY ?=

.PHONY: help setup run test check breaking gen bench soak fuzz lock clean

help:  ## Shows this list.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup:  ## Installs everything into .venv and web/node_modules, and builds the web app. Quick when nothing changed.
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) tools/setup

run: setup  ## Starts everything; Ctrl-C stops it.
	@$(BIN)/reelmesh up

# Each process would compile all modules anew, whatever the shell says of bytecode.
run test bench fuzz soak: export PYTHONDONTWRITEBYTECODE :=
# Several processes share few processors; threads of OpenBLAS that wait for work keep them busy.
test: export OPENBLAS_NUM_THREADS := 1

test: setup  ## Runs every test.
	@$(PYTHON) tools/setup --for-tests
	$(PY) -m pytest --numprocesses $(TESTS_AT_ONCE) --dist loadfile --no-loadscope-reorder $(foreach one,$(ALONE),--ignore $(one)) $(PYTEST_ARGS)
	$(PY) -m pytest $(ALONE) $(PYTEST_ARGS)

check: setup breaking  ## Everything that can be found without running it.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(PY) -m tools.checks
	$(PY) -m tools.gen --check
	cd web && ../$(BIN)/npm run --silent check

breaking: setup
	@base=$$(git rev-parse --verify --quiet origin/main || git describe --tags --abbrev=0 2>/dev/null || true); \
	if [ -n "$$base" ] && git cat-file -e "$$base:buf.yaml" 2>/dev/null; then \
		echo "$(BIN)/buf breaking, against $$base"; $(BIN)/buf breaking --against ".git#ref=$$base"; fi

gen: setup  ## Writes gen/ and docs/permissions.md from proto/.
	@$(PY) -m tools.gen

bench: setup  ## Measures, and writes bench/results.json. ONLY=group for a part.
	@$(PY) -m tests.bench $(if $(ONLY),--only $(ONLY))

soak: setup  ## Uploads, plays and kills for a long while, watching memory and descriptors; then 10,000 viewers, and 100,000 subscribers over two years, before oracles; an audit log that dies; money in full numbers.
	@$(PY) -m tests.bench.soak
	@$(PY) -m tests.bench.simulation --record
	@$(PY) -m tests.bench.subscriptions_simulation
	@$(PY) -m tests.compliance.killing
	$(PY) -m pytest tests/payments tests/drm/test_recording.py --hypothesis-profile long --timeout 0 $(PYTEST_ARGS)

fuzz: setup  ## Tries every method and every REST operation with made-up requests for a long while.
	$(PY) -m pytest tests/contracts/test_fuzz_rpcs.py tests/envoy/test_described_interface.py tests/policy/test_authoriser_fuzz.py tests/payments/test_machines.py --hypothesis-profile long --timeout 0 $(PYTEST_ARGS)

lock: setup  ## Renews the locks from pyproject.toml and web/package.json.
	@$(COMPILE) --upgrade requirements/bootstrap.in -o requirements/bootstrap.txt
	$(COMPILE) --upgrade pyproject.toml --group dev -o requirements/all.txt
	cd web && ../$(BIN)/npm install --package-lock-only --ignore-scripts

clean:  ## Removes what setup made. Data in .reelmesh/ stays.
	rm -rf .venv web/node_modules web/dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
