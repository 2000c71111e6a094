# `make demo` and `make test` need Python 3.11 and nothing else: both build .venv first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
HOROVOD := $(VENV)/.horovod

.PHONY: help env demo demo-train demo-weights horovod test lint bench

help:
	@echo "make env    create .venv and install everything (a no-op when nothing changed)"
	@echo "make demo   2D and 3D poses in a few photos, by the demo weights, drawn (about a minute)"
	@echo "make test   run the tests; builds Horovod first where it can (once, about 4 minutes on two cores)"
	@echo "make demo-train    train a small hourglass on the embedded sample, score it, draw it (about 5 minutes)"
	@echo "make demo-weights  train the demo weights anew (hours; see docs/model_card.md)"
	@echo "make horovod       build Horovod, which is optional: python train.py SCRIPT --use_horovod"
	@echo "make lint   ruff check and format check"
	@echo "make bench  run the benchmarks (a few minutes on an idle machine)"

env: $(STAMP)

$(STAMP): requirements.txt requirements-dev.txt constraints.txt
	@echo "== installing into $(VENV) (PyTorch with CUDA is about 5 GB; a minute or a few) =="
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet uv || echo "uv is not to be had; using pip"
	@if [ -x $(BIN)/uv ]; then \
	  VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install -r requirements-dev.txt -c constraints.txt; \
	else false; fi || $(BIN)/python -m pip install -r requirements-dev.txt -c constraints.txt
	@touch $@

demo: env
	@scripts/demo.sh

demo-train: env
	@scripts/demo_training.sh

demo-weights: env
	@scripts/demo_weights.sh

# Tried once in an environment: what stood in the way is kept in the file, for the tests to say.
$(HOROVOD): $(STAMP) scripts/install_horovod.sh
	@scripts/install_horovod.sh $(BIN)/python 2> $@ || { cat $@; echo "== going on without Horovod"; }

horovod: $(HOROVOD)

test: env $(HOROVOD)
	@$(BIN)/python -m pytest

lint: env
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

bench: env
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done
