# `make demo` and `make test` do everything from nothing on a fresh machine; repeats are instant.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check bench up install clean

VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.installed
DEVELOPMENT := $(VENV)/.installed-dev
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet
PORT ?= 8080
PYTEST_ARGS ?=
# Tests run in two processes, each with services of its own; PYTEST_ARGS='-n 0' has them in one, as a debugger needs it.
PROCESSES := $(shell [ "$$(getconf _NPROCESSORS_ONLN)" -ge 2 ] && echo 2 || echo 0)

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(RUNTIME) ## everything from nothing: install, real data, real experiments, reports; then serves (PORT=8080)
	@$(BIN)/reclift demo --port $(PORT)

test: $(DEVELOPMENT) ## everything from nothing: install, the services that tests need, all tests (PYTEST_ARGS='-k name')
	@.ci/system-packages postgresql redis chromium node
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

check: $(DEVELOPMENT) ## lint, format, types, layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(DEVELOPMENT) ## the benchmarks, each against a named reference in the same run (BENCH=name for one)
	@.ci/system-packages postgresql redis
	@$(BIN)/python -m bench $(BENCH)

up: .env ## production mode in containers: web, worker, beat, PostgreSQL, Redis (Docker with compose)
	@docker compose up --build --detach
	@echo "Reclift is at http://localhost:$${RECLIFT_PORT:-8080}"
	@echo "Make an account: docker compose exec web reclift create-user you@example.com --role manager"

# Secrets for containers, made once; keep the file, it opens the database in the volume.
.env:
	@umask 077; secret() { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'; }; \
	  printf 'POSTGRES_PASSWORD=%s\nRECLIFT_SECRET_KEY=%s\n' "$$(secret)" "$$(secret)" > $@

install: $(DEVELOPMENT) ## the virtual environment with everything for development

clean: ## removes the environment and the caches; var/ with its data stays
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@python="$$(.ci/find-python)"; echo "Making $(VENV) with $$python"; "$$python" -m venv $(VENV)

$(RUNTIME): pyproject.toml | $(BIN)/python
	@echo "Installing Reclift and what it needs (a minute or two the first time)"
	@$(PIP_INSTALL) --editable .
	@touch $@

$(DEVELOPMENT): pyproject.toml | $(BIN)/python
	@echo "Installing Reclift with what development needs (a minute or two the first time)"
	@$(PIP_INSTALL) --editable '.[dev]'
	@touch $@ $(RUNTIME)
