# One to three lines for each command; the environment is made by deploy/environment.sh.
.DEFAULT_GOAL := help
.PHONY: help setup demo up test test-long lint format types bench peers

BIN := .venv/bin

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.complete ## make the environment in .venv from uv.lock

.venv/.complete: pyproject.toml uv.lock deploy/environment.sh
	@deploy/environment.sh
	@touch $@

demo: setup ## the whole line on phantoms, under ./var
	@$(BIN)/sonogate demo

up: setup ## run Sonogate on this machine, under ./var
	@$(BIN)/sonogate up

peers: ## install the programs that tests talk to (Debian, as root)
	@deploy/install-peers.sh

test: setup peers ## every test but those marked long
	@$(BIN)/pytest -q -n 2 --dist loadfile

test-long: setup peers ## the tests marked long
	@$(BIN)/pytest -q -n 2 --dist loadfile -m long

lint: setup ## format, lint, types, import rules, lock file
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports
	@.tools/bin/uv lock --check --quiet --offline --default-index https://pypi.org/simple

format: setup ## put the code into its format
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

types: setup ## types alone
	@$(BIN)/mypy

bench: setup peers ## each benchmark, as ratios against peers
	@for folder in benchmarks/*/; do $(BIN)/python -m benchmarks.$$(basename $$folder) || exit 1; done
