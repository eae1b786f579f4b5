PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
BACKENDS := tensorflow jax torch
# Two test processes with one thread each: more threads than cores make torch crawl.
TEST_ENV := OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=
# What JAX has compiled serves the tests after it, and the next run.
TEST_ENV += JAX_COMPILATION_CACHE_DIR=$(abspath $(VENV))/jax JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0.3 \
	JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES=0

.PHONY: demo test lint $(addprefix test-,$(BACKENDS)) clean

demo: $(VENV)/.base
	$(BIN)/gamix-keras train --preset faces-quick --out runs/demo

test: lint $(addprefix test-,$(BACKENDS))

lint: $(VENV)/.all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(addprefix test-,$(BACKENDS)): test-%: $(VENV)/.all
	$(TEST_ENV) KERAS_BACKEND=$* $(BIN)/python -m pytest -n 2

$(VENV)/.base: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.all: $(VENV)/.base
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[jax,torch,test,dev]"
	# Without its dependencies: they pull in keras-core, which its layers do not need under Keras 3.
	$(BIN)/python -m pip install --quiet --no-deps keras-cv==0.9.0 regex
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
