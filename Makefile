# `make demo` and `make test` work in a fresh clone: they make .venv and install what they need into it.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow lint

demo: .venv/installed
	$(BIN)/convdbn demo --output-dir demo

test: .venv/installed-dev lint
	$(BIN)/python -m pytest -q

test-slow: .venv/installed-dev
	$(BIN)/python -m pytest -q -m slow

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@
