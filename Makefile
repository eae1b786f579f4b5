PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
BACKENDS := tensorflow jax torch
# Two test processes with one thread each, because more threads than cores make torch crawl. Each takes whole files while
# there are some, so the fixtures of a file are set up once, and at the end takes tests from the other.
TEST_ENV := OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=
# What JAX has compiled is kept for later tests, and for the next run.
TEST_ENV += JAX_COMPILATION_CACHE_DIR=$(abspath $(VENV))/jax JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0.3 \
	JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES=0

.PHONY: demo docs test lint test-lowest audit lock licences notebooks dist $(addprefix test-,$(BACKENDS)) clean

demo: $(VENV)/.base
	$(BIN)/gamix-keras train --preset faces-quick --out runs/demo

test: lint $(addprefix test-,$(BACKENDS))

docs: $(VENV)/.all
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo build/site/index.html

lint: $(VENV)/.all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(addprefix test-,$(BACKENDS)): test-%: $(VENV)/.all
	$(TEST_ENV) KERAS_BACKEND=$* $(BIN)/python -m pytest -n 2 --dist worksteal

# The fast tests with exactly the lower bounds of setup.cfg. Deprecation warnings are ignored, because old versions of
# packages deprecate each other's features.
LOWEST := build/lowest
LOWEST_TESTS := $(addprefix tests/,layers losses models samplers training callbacks runs)

test-lowest:
	mkdir -p build
	sed -nE 's/^(    |[a-z-]+ = )([A-Za-z0-9_.-]+)>=([0-9.]+)(,.*)?$$/\2==\3/p' setup.cfg | sort -u > $(LOWEST).txt
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --upgrade pip
	$(LOWEST)/bin/python -m pip install --quiet -c $(LOWEST).txt -e ".[jax]" pytest pytest-xdist hypothesis scikit-image \
		tensorboard
	for backend in tensorflow jax; do \
		$(TEST_ENV) KERAS_BACKEND=$$backend $(LOWEST)/bin/python -m pytest -n 2 --dist worksteal \
			-W ignore::DeprecationWarning $(LOWEST_TESTS) || exit 1; \
	done

# Asks PyPI's JSON interface for advisories about what is locked. With --strict it fails if it cannot ask, as behind many
# mirrors, rather than report that nothing was found.
audit: $(VENV)/.all
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off --requirement requirements.lock \
		--requirement release/torch.lock

# What setup.cfg and constraints.txt ask for, with hashes; UPGRADE=1 takes newer versions of the rest, too.
lock:
	$(PYTHON) -m venv build/release
	build/release/bin/python -m pip install --quiet uv
	build/release/bin/python -m release.lock $(if $(UPGRADE),--upgrade)

licences: $(VENV)/.all
	$(BIN)/python -m release.licences

# Runs every notebook anew and keeps its outputs: after a change of what they show, such as the model of the package.
notebooks: $(VENV)/.all
	$(BIN)/python -m release.notebooks

# The wheel and the sdist, checked as the registry checks them.
dist:
	rm -rf dist
	$(PYTHON) -m venv build/release
	build/release/bin/python -m pip install --quiet build twine
	build/release/bin/python -m build --outdir dist
	build/release/bin/twine check --strict dist/*

$(VENV)/.base: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

# What is tested is what is locked, down to the bytes: of torch the build without CUDA, if pip knows a place that has it.
# The last line adds nothing where the lock was made; elsewhere it adds what that system needs besides, such as CUDA's
# libraries for PyPI's torch, or an older Python's backports.
$(VENV)/.all: setup.cfg constraints.txt requirements.lock release/torch.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r release/torch-cpu.lock 2> /dev/null || \
		$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r release/torch.lock
	$(BIN)/python -m pip install --quiet --no-build-isolation -c constraints.txt -e ".[jax,torch,notebook,test,dev,docs]"
	touch $(VENV)/.base $@

clean:
	rm -rf $(VENV) build *.egg-info
