# make demo: train bind_digits and print its results.   make test: everything that guards the code.
# make docs: the site in site/. make notebooks: run docs/notebooks and keep what they print.
# make audit: bandit and pip-audit; needs an index of packages.
# Both set up .venv when it is not there or older than pyproject.toml.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test docs notebooks lint audit format bench results clean

demo: .venv/installed
	$(BIN)/fusion train bind_digits

test: lint
	$(BIN)/pytest --numprocesses logical --dist loadfile --no-loadscope-reorder \
		--cov --cov-report=term:skip-covered --durations=10

docs: .venv/installed-dev
	$(BIN)/mkdocs build --strict

notebooks: .venv/installed-dev
	$(BIN)/python docs/notebooks/run.py

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What the code calls, and what is known of the libraries in .venv; fails where the latter cannot be looked up.
audit: .venv/installed-dev
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml fusion plugins recipes
	$(BIN)/python -m pip freeze --exclude-editable > .venv/frozen.txt
	$(BIN)/pip-audit --strict --disable-pip --no-deps --requirement .venv/frozen.txt || { \
		echo 'audit: a library has a known fault, or could not be looked up (no index, not on it): see above.' \
			'Nothing is said about the others.' >&2; exit 1; }

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/installed-bench
	$(BIN)/python benchmarks/table.py
	$(BIN)/python benchmarks/damage.py
	$(BIN)/python benchmarks/kill.py 50 1
	$(BIN)/python benchmarks/kill.py 50 2
	$(BIN)/python benchmarks/fuzz.py 100000

results: .venv/installed
	$(BIN)/python benchmarks/results.py
	$(BIN)/python benchmarks/transfer.py
	$(BIN)/python recipes/rank_sources.py
	$(BIN)/python recipes/wise_ft.py runs/results/wise_ft
	$(BIN)/python recipes/distill_digits.py
	$(BIN)/python recipes/vgg16_cifar10.py

clean:
	rm -rf .venv runs site .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("fusion needs Python 3.11 or newer: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	@echo 'installing into .venv: PyTorch and others, about 6 GB, some minutes'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ .venv/installed

.venv/installed-bench: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	touch $@ .venv/installed
