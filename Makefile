# One to three lines for each command; deploy/environment.sh creates the environment.
.DEFAULT_GOAL := help
.PHONY: help setup demo ohif up test test-long lint format types bench peers

BIN := .venv/bin

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.complete ## create the environment in .venv from uv.lock

.venv/.complete: pyproject.toml uv.lock deploy/environment.sh
	@deploy/environment.sh
	@touch $@

demo: setup ## run the whole workflow on phantom studies, in ./var
	@$(BIN)/sonogate demo

ohif: setup peers ## run it with Orthanc and show the results in the OHIF viewer
	@$(BIN)/sonogate demo --ohif

up: setup ## run Sonogate on this machine, in ./var
	@$(BIN)/sonogate up

peers: ## install the programs that the tests talk to (Debian, as root)
	@deploy/install-peers.sh

test: setup peers ## run the tests
	@$(BIN)/pytest -q -n 2 --dist loadfile

test-long: setup peers ## run the tests that take minutes
	@$(BIN)/pytest -q -n 2 --dist loadfile -m long

lint: setup ## check format, lint, types, import rules and the lock file
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports
	@.tools/bin/uv lock --check --quiet --offline --default-index https://pypi.org/simple

format: setup ## format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

types: setup ## check types only
	@$(BIN)/mypy

bench: setup peers ## run the benchmarks against peers
	@for folder in benchmarks/*/; do $(BIN)/python -m benchmarks.$$(basename $$folder) || exit 1; done
