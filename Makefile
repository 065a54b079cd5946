# Every target but clean makes .venv first. It needs Python 3.11 or newer and nothing else.
PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint format faults clean

demo: $(INSTALLED)
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" mlflow run . -e train -P arch=mlp_small --env-manager local

test: $(INSTALLED)
	$(VENV)/bin/python -m pytest

# Breaks things on purpose, for more than half an hour, and prints what did harm.
faults: $(INSTALLED)
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" python benchmarks/faults.py

lint: $(INSTALLED)
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy

# --exit-zero: formats even if problems are left that ruff cannot fix. `make lint` fails on them.
format: $(INSTALLED)
	$(VENV)/bin/ruff check --fix --exit-zero . && $(VENV)/bin/ruff format .

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(INSTALLED)

clean:
	rm -rf $(VENV)
