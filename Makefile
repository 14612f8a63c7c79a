# Each target does its own set-up: a virtual environment in .venv with this package and what the target needs.
# Another Python: make test PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-all check docs clean

demo: .venv/installed
	$(BIN)/vqa-rnn demo --overwrite

test: .venv/installed-test
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal -m "not slow"

# With the slow tests too: several processes, and trainings that are killed.
test-all: .venv/installed-test
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

check: .venv/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pydoclint vqa_rnn preprocessing
	$(BIN)/codespell

# The theme's notice about its own future is no warning about these pages.
docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean:
	rm -rf .venv build dist site

.venv/bin/python:
	$(PYTHON) -m venv .venv

# torch and torchvision go in one call, so that pip settles on versions that belong together.
.venv/installed: pyproject.toml .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/installed-test: pyproject.toml .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test]"
	touch $@ .venv/installed

.venv/installed-dev: pyproject.toml .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@ .venv/installed .venv/installed-test

.venv/installed-docs: pyproject.toml .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	touch $@ .venv/installed
