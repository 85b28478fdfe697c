# `make demo` and `make test` do all their own set-up and can be run first; they need Python 3.11 or newer, pip and
# make, and reach for nothing but the package indexes. What a step needs is made ready by scripts/prepare.

# Arguments for the town, e.g. make demo DEMO_ARGS="--homes 500 --seed 7"; for pytest, e.g. make pytest ARGS=tests/ledger
DEMO_ARGS =
ARGS =
# The size of the bill run in make bench: the whole one takes minutes to make ready.
BILLS = --quick
# How long make fuzz goes on.
MINUTES = 10

BIN = .venv/bin

.PHONY: help demo test lint format types imports web-check pytest web bench fuzz interop wheel lock openapi clean

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: ## raise the simulated town and show where to look (DEMO_ARGS="--speed 600 ...")
	@scripts/prepare runtime web
	@$(BIN)/wattledger demo $(DEMO_ARGS)

# The pages are made ready and checked while Python's packages are installed and checked: half of the time is waiting.
test: ## run every check below and the tests
	@mkdir -p .stamps; failed=; \
	$(MAKE) --no-print-directory web web-check >.stamps/pages.log 2>&1 & pages=$$!; \
	for check in lint types imports; do \
	    echo "── make $$check"; \
	    $(MAKE) --no-print-directory $$check || failed="$$failed $$check"; \
	done; \
	echo "── make web web-check"; \
	wait $$pages || failed="$$failed web-check"; \
	cat .stamps/pages.log; \
	echo "── make pytest"; \
	$(MAKE) --no-print-directory pytest || failed="$$failed pytest"; \
	if [ -n "$$failed" ]; then echo "make test: FAILED in:$$failed"; exit 1; fi; \
	echo "make test: everything passed"

lint: ## ruff: rules and format
	@scripts/prepare dev
	@$(BIN)/python -m ruff check
	@$(BIN)/python -m ruff format --check

format: ## let ruff and prettier write the format
	@scripts/prepare dev web-packages
	@$(BIN)/python -m ruff check --fix-only
	@$(BIN)/python -m ruff format
	@scripts/npm run --silent format

types: ## mypy, strict
	@scripts/prepare dev
	@$(BIN)/python -m mypy

imports: ## the walls between the rooms (.importlinter)
	@scripts/prepare dev
	@$(BIN)/lint-imports --no-logo

web-check: ## types, lint, format and tests of the pages
	@scripts/prepare web-packages
	@scripts/npm run --silent check
	@scripts/npm run --silent test

pytest: ## the tests alone (ARGS="tests/ledger -k balance")
	@scripts/prepare dev
	@$(BIN)/python -m pytest -q $(ARGS)

web: ## build the pages
	@scripts/prepare web

bench: ## run the benchmarks beside their peers (--json with ARGS=--json; all bills with BILLS="--customers 100000")
	@scripts/prepare bench
	@for file in benchmarks/*.py; do \
	    echo "── $$file" >&2; \
	    case "$$file" in */bill_run.py) size="$(BILLS)" ;; *) size= ;; esac; \
	    $(BIN)/python "$$file" $$size $(ARGS) || exit 1; \
	done

fuzz: ## damage messages of meters for some minutes and see that every decoder ends (MINUTES=10)
	@scripts/prepare dev
	@PYTHONPATH=tests/support $(BIN)/python tests/support/dlms_fuzz.py $(MINUTES)

interop: ## let DLMS meters and clients of other makers speak with ours (docs/interop.md)
	@scripts/prepare runtime
	@$(BIN)/python interop/run.py

wheel: ## build the wheel, pages included, into dist/
	@scripts/prepare runtime web
	@$(BIN)/python -m hatchling build -t wheel

openapi: ## write web/openapi.json anew from the API
	@scripts/prepare runtime
	@$(BIN)/wattledger openapi > .stamps/openapi.json && mv .stamps/openapi.json web/openapi.json

lock: ## compile the lock files anew from pyproject.toml
	@scripts/lock $(ARGS)

clean: ## remove all that make made; data/ stays
	rm -rf .venv .stamps .interop dist src/wattledger/web/dist web/node_modules web/src/api/schema.ts
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks interop -name __pycache__ -type d -prune -exec rm -rf {} +
