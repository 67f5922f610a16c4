# Everything a fresh clone needs: the first target that runs Python makes .venv and installs into it.
#
#   make fit ARGS="--guide chain --seed 1"
#   make test ARGS="tests/distributions/test_chain.py -x"
#   make test PYTHON=python3.12

VENV   ?= .venv
ARGS   ?=
READY  := $(VENV)/.installed
RUN    := $(VENV)/bin/python
TYPED  := pyro_rationale tests benchmarks

# Whole suites run in a process per core, up to four of them (each loads torch), which hand each other what is left.
# Named files run in one; `make test ARGS="-n 0"` runs everything in one.
SPREAD := $(if $(findstring tests/,$(ARGS)),,-n logical --maxprocesses 4 --dist worksteal)
# Programs that tests start read modules that are compiled once, whatever the environment says of bytecode; threads that
# wait for others leave the processor to other tests.
PYTEST := env -u PYTHONDONTWRITEBYTECODE OMP_WAIT_POLICY=passive $(RUN) -m pytest

# The first interpreter that truly runs, is new enough and can make environments. (Version managers put
# commands on the path that only print "not found".)
USABLE := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	"$$p" -c '$(USABLE)' >/dev/null 2>&1 && { echo "$$p"; break; }; done)

.PHONY: help install fit test slow fuzz lint types docs dist ways check clean
.DEFAULT_GOAL := help

help: ## Show this list
	@echo "make TARGET [ARGS=\"...\"] [PYTHON=python3.12] [VENV=folder]"
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 10 | sed 's/^/  /'

install: $(READY) ## Make the environment, and nothing else

fit: $(READY) ## Fit the default model; ARGS are its options
	@$(RUN) -m pyro_rationale.fit $(ARGS)

test: $(READY) ## Run the tests; ARGS are pytest's
	@$(PYTEST) $(SPREAD) $(ARGS)

slow: $(READY) ## Run the slow studies: many seeds, calibration
	@$(PYTEST) -m slow $(SPREAD) $(ARGS)

fuzz: $(READY) ## Give the commands malformed input; ARGS="--count 2000 --seed 7"
	@$(RUN) -m tests.support.fuzz $(ARGS)

lint: $(READY) ## Check style (ruff) and that dependencies point downwards (import-linter)
	@$(RUN) -m ruff check $(ARGS)
	@$(VENV)/bin/lint-imports

types: $(READY) ## Check types (mypy)
	@$(RUN) -m mypy $(TYPED) $(ARGS)

docs: $(READY) ## Build the documentation into site/; a dead link fails it
	@$(RUN) -m mkdocs build --quiet --clean $(ARGS)

dist: $(READY) ## Build a wheel and an sdist into dist/
	@$(RUN) -m build --outdir dist . > /dev/null
	@ls dist/*.whl

ways: $(READY) ## Try every way of running: editable, wheel, sdist, bare checkout
	@PYTHON=$(abspath $(RUN)) tests/system/ways_of_running.sh

check: lint types docs ways test ## All of the above but the slow studies, as .ci/run does

clean: ## Remove the environment, caches and build outputs (runs/ stays)
	rm -rf $(VENV) site build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find pyro_rationale models guides tests benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11, 3.12 or 3.13 with venv and ensurepip found; name one: make $(or $(MAKECMDGOALS),test) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c '$(USABLE)' || { echo "make: $(PYTHON) is not a Python 3.11, 3.12 or 3.13 with venv and ensurepip" >&2; exit 1; }
	@echo "Installing into $(VENV) with $(PYTHON) (some minutes the first time) ..."
	@test -x $(RUN) || "$(PYTHON)" -m venv $(VENV)
	@$(RUN) -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
