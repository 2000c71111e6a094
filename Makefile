# `make demo` and `make test` only need Python 3.11: they build .venv first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Containers often turn Python's cache of compiled modules off; without it each process takes twice as long to import torch.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help env demo demo-train demo-weights figures horovod test test-long test-all torture lint bench

help:
	@echo "make env           create .venv and install everything (a no-op when nothing changed)"
	@echo "make demo          estimate and draw 2D and 3D poses in a few photos with the demo weights"
	@echo "make figures       make the pictures of README.md and docs/ whose data and checkpoints are there"
	@echo "make test          run the tests but the long ones, one process per core, in minutes"
	@echo "make test-long     run the long ones, which CI runs too; Horovod's need make horovod first"
	@echo "make test-all      run all of them at once"
	@echo "make torture       the long form of the reliability tests, some hours (docs/reliability.md)"
	@echo "make demo-train    train a small hourglass on the embedded sample, score it, draw its poses"
	@echo "make demo-weights  retrain the demo weights (durations: docs/model_card.md)"
	@echo "make horovod       build Horovod (optional), for python train.py SCRIPT --use_horovod"
	@echo "make lint          ruff check and format check, and import rules (import-linter)"
	@echo "make bench         run the benchmarks (on an idle machine, under 10 minutes), write benchmarks/results.md"

env: $(STAMP)

$(STAMP): requirements.txt requirements-dev.txt constraints.txt
	@echo "== installing into $(VENV) (PyTorch with CUDA is about 5 GB) =="
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet uv || echo "uv is not available; using pip"
	@if [ -x $(BIN)/uv ]; then \
	  VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install -r requirements-dev.txt -c constraints.txt; \
	else false; fi || $(BIN)/python -m pip install -r requirements-dev.txt -c constraints.txt
	@touch $@

demo: env
	@scripts/demo.sh

figures: env
	@$(BIN)/python scripts/figures.py

demo-train: env
	@scripts/demo_training.sh

demo-weights: env
	@scripts/demo_weights.sh

# A no-op if a working Horovod is installed. The wheel is kept in .cache/horovod, or in $$HOROVOD_CACHE.
horovod: env
	@scripts/install_horovod.sh $(BIN)/python

# Tests of a file share trainings and launches, so each process runs whole files.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

test: env
	@$(PYTEST) -m "not long"

test-long: env
	@$(PYTEST) -m long

test-all: env
	@$(PYTEST)

torture: env
	@$(BIN)/python tests/reliability/torture.py

lint: env
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports --no-cache --no-logo

bench: env
	@$(BIN)/python benchmarks/run_all.py
