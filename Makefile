# make demo: train bind_digits and print its results.   make test: everything that guards the code.
# Both set up .venv when it is not there or older than pyproject.toml.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint format bench results clean

demo: .venv/installed
	$(BIN)/fusion train bind_digits

test: lint
	$(BIN)/pytest --cov --cov-report=term:skip-covered --durations=10

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/installed
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/loop.py
	$(BIN)/python benchmarks/encoders.py
	$(BIN)/python benchmarks/tuning.py
	$(BIN)/python benchmarks/merge.py
	$(BIN)/python benchmarks/prior.py
	$(BIN)/python benchmarks/cache.py
	$(BIN)/python benchmarks/checkpoint.py
	$(BIN)/python benchmarks/damage.py
	$(BIN)/python benchmarks/kill.py 50 1
	$(BIN)/python benchmarks/kill.py 50 2

results: .venv/installed
	$(BIN)/python benchmarks/results.py
	$(BIN)/python benchmarks/transfer.py
	$(BIN)/python recipes/rank_sources.py
	$(BIN)/python recipes/wise_ft.py runs/results/wise_ft
	$(BIN)/python recipes/distill_digits.py
	$(BIN)/python recipes/vgg16_cifar10.py

clean:
	rm -rf .venv runs .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("fusion needs Python 3.11 or newer: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ .venv/installed
