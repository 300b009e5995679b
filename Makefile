# Each target does all its own set-up: a virtual environment in this folder, with pinned versions.
#
#   make demo          put the face of one example picture into the other, and say where the result is
#   make test          the default test suite, without network
#   make coverage docs lint types contracts docs-check test-slow test-fuzz test-browser
#
# PYTEST_ARGS="-n 4 --dist loadfile" goes to pytest in `make test`, `coverage`, `contracts` and `test-browser`: tests in
# four processes (OMP_NUM_THREADS=1 with it).
# PYTHON=python3.12 chooses the interpreter for the environment. CONSTRAINTS= lets pip choose versions.
# TORCH_INDEX=https://download.pytorch.org/whl/cpu fetches the small CPU build of PyTorch on Linux.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
TORCH_INDEX ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	$(if $(CONSTRAINTS),--constraint $(CONSTRAINTS)) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.PHONY: help demo test coverage docs test-slow test-fuzz test-browser lint types contracts docs-check clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -8

# One stamp per set of extras, so that `make demo` installs neither PyTorch nor the test tools.
$(BIN)/python:
	@echo "== making a virtual environment in $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-swap: $(BIN)/python pyproject.toml $(CONSTRAINTS)
	@echo "== installing hififace, for swapping only"
	@$(PIP) --editable '.[cpu]'
	@touch $@

$(VENV)/.installed-dev: $(BIN)/python pyproject.toml $(CONSTRAINTS)
	@echo "== installing hififace with everything for development (PyTorch included; minutes the first time)"
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.installed-swap

demo: $(VENV)/.installed-swap
	@echo "== putting the face of examples/officer.jpg into examples/astronaut.jpg"
	@mkdir -p demo
	@$(BIN)/hififace swap examples/officer.jpg examples/astronaut.jpg -o demo/swapped.jpg
	@$(BIN)/hififace swap examples/officer.jpg examples/astronaut.jpg -o demo/side-by-side.jpg --compare
	@echo "== the result:            $(CURDIR)/demo/swapped.jpg"
	@echo "== beside its target:     $(CURDIR)/demo/side-by-side.jpg"
	@echo "== what the file says:    $(BIN)/hififace verify demo/swapped.jpg"

test: $(VENV)/.installed-dev
	@echo "== running the default tests (network blocked)"
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

coverage: $(VENV)/.installed-dev
	@echo "== running the default tests, and counting which lines they run"
	@$(BIN)/python -m pytest $(PYTEST_ARGS) --cov --cov-report=term:skip-covered --cov-report=xml

docs: $(VENV)/.installed-dev
	@echo "== making the site in site/; a dead link is an error"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "== open $(CURDIR)/site/index.html"

test-slow: $(VENV)/.installed-dev
	@echo "== running the slow tests"
	@$(BIN)/python -m pytest -m "slow and not browser"

test-fuzz: $(VENV)/.installed-dev
	@echo "== trying 600 damaged images and 120 damaged videos"
	@$(BIN)/python -m pytest -m fuzz

test-browser: $(VENV)/.installed-dev
	@echo "== running the browser tests in the system's Chromium (Debian: apt-get install chromium)"
	@$(PIP) playwright axe-playwright-python
	@$(BIN)/python -m pytest -m browser $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev
	@echo "== ruff: rules and layout; vulture: code that nothing reaches"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/vulture

types: $(VENV)/.installed-dev
	@echo "== mypy, strict, on src"
	@$(BIN)/mypy

contracts: $(VENV)/.installed-dev
	@echo "== who may import whom, and the other promises"
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest $(PYTEST_ARGS) tests/contracts

docs-check: $(VENV)/.installed-dev
	@echo "== links, commands and tables of the documents"
	@$(BIN)/python -m pytest tests/contracts/test_documents.py

clean:
	@rm -rf $(VENV) build dist demo site .coverage coverage.xml .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
