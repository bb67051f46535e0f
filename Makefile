# Lakehold. `make demo` and `make test` make all that they need: a virtual environment from
# the locks. Nothing but Python 3.11 or newer must be there.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && { command -v $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help demo test coverage lint format bench docs judges audit clean

help: ## Show what can be made.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: $(VENV)/.run ## Start a platform, load real data, show what it does; ARGS=--once ends it.
	@$(BIN)/lakehold demo $(ARGS)

test: $(VENV)/.dev ## Run all tests.
	$(BIN)/python -m pytest $(ARGS)

coverage: $(VENV)/.dev ## Run all tests, and show what they cover.
	$(BIN)/python -m pytest --cov=lakehold --cov-report=term:skip-covered $(ARGS)

lint: $(VENV)/.dev ## Check style, types and import directions.
	$(BIN)/ruff check src tests bench
	$(BIN)/ruff format --check src tests bench
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Bring the style in order.
	$(BIN)/ruff check --fix src tests bench
	$(BIN)/ruff format src tests bench

bench: $(VENV)/.dev ## Measure against peers; writes docs/benchmarks.md.
	$(BIN)/python -m bench $(ARGS)

docs: $(VENV)/.dev ## Write the parts of the docs that come from the code.
	$(BIN)/python tests/docs/generated.py

judges: ## Run Apache Spark against the catalog (needs Java 17).
	$(MAKE) -f tests/judges/Makefile PYTHON=$(PYTHON)

audit: $(VENV)/.dev ## Look for known holes in the dependencies.
	$(BIN)/pip-audit --require-hashes --disable-pip -r requirements.lock

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and was not found." >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
		echo "venv is missing: on Debian, apt install python3-venv" >&2; exit 1; }

$(VENV)/.run: $(VENV)/bin/python requirements.lock pyproject.toml
	@echo "Installing the locked dependencies into $(VENV) …"
	@test -f $(VENV)/.dev || $(BIN)/pip install --quiet --disable-pip-version-check \
		--require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python requirements-dev.lock pyproject.toml
	@echo "Installing the locked dependencies for development into $(VENV) …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@ $(VENV)/.run

clean: ## Remove what was made.
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage demo-data
