# Everything that is done with this repository, here and in CI, under the same names.
# Needed: make, and Python 3.11 or later. Everything else goes into .venv.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SOURCES := peer signaling tests bench demo
# The modules without any I/O: their own unit tests cover every branch of them.
PURE_SERVER := messages proofs rooms limits errors turn turn_config
PURE_TESTS := tests/core $(PURE_SERVER:%=tests/signaling/test_%.py)
PURE_MODULES := peer/core/*,$(subst $() ,$(),$(PURE_SERVER:%=signaling/%.py,))

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(READY) ## make .venv with everything that is needed (the others do this by themselves)

$(READY): pyproject.toml constraints.txt
	@python=; \
	for candidate in $${PYTHON:-python3.11 python3.12 python3.13 python3.14 python3 python}; do \
	  if "$$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "error: Weft needs Python 3.11 or later, with its venv module, and found none." >&2; \
	  echo "  do    install it (on Debian and Ubuntu: apt install python3 python3-venv)," >&2; \
	  echo "        or say where it is: make setup PYTHON=/path/to/python3" >&2; \
	  exit 1; \
	fi; \
	echo "setting up $(VENV) with $$("$$python" --version); the first time this takes a minute"; \
	[ -x $(BIN)/python ] || "$$python" -m venv $(VENV)
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt hatchling editables
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt \
	  --no-build-isolation -e '.[dev]'
	@touch $@

.PHONY: format
format: $(READY) ## put all code into its one form
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

.PHONY: check
check: lint types imports layout coverage ## everything that can be said without running the product

.PHONY: lint
lint: $(READY)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)

.PHONY: types
types: $(READY)
	$(BIN)/mypy --strict $(SOURCES)

.PHONY: imports
imports: $(READY)
	$(BIN)/lint-imports

.PHONY: layout
layout: $(READY)
	$(BIN)/python -m pytest -q tests/test_layout.py

.PHONY: coverage
coverage: $(READY)
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -q $(PURE_TESTS)
	$(BIN)/python -m coverage report --include='$(PURE_MODULES)' --fail-under=100

.PHONY: test
test: $(READY) ## all tests; T="tests/core -k name" for some of them
	@# two at a time, because most of them wait; those of one file share what they have built
	$(BIN)/python -m pytest -n 2 --dist loadfile $(T)

.PHONY: demo
demo: $(READY) ## two people on one folder, in 15 seconds; KEEP=1 leaves it running
	@$(BIN)/python -m demo $(if $(KEEP),--keep)

.PHONY: bench
bench: $(READY) ## measure, and compare with what is possible at best
	$(BIN)/python -m bench $(B)

.PHONY: soak
soak: $(READY) ## the property tests with a hundred times the examples; half an hour
	WEFT_TEST_PROFILE=soak $(BIN)/python -m pytest --timeout=3600 tests/properties tests/core $(T)

.PHONY: netlab
netlab: $(READY) ## every NAT with every other, N=20 times over, as root; an hour
	WEFT_TEST_ALL=1 WEFT_TEST_NETLAB=$(or $(N),20) $(BIN)/python -m pytest -q tests/netlab $(T)

.PHONY: clean
clean: ## remove everything that these commands made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.* dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
