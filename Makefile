# Everything here works on a fresh machine with Python 3.11 or newer; nothing has to be installed by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
# Most tests wait for real seconds to pass, so several run at once. In the order of their names: what waits
# longest comes first.
TEST_PROCESSES ?= $(shell getconf _NPROCESSORS_ONLN | awk '{print $$1 < 3 ? 3 * $$1 : 8}')
AT_ONCE := --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder
# The tests start some hundred Pythons, which would each compile all that they import.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo lint test test-long test-kube crash-matrix bench simulate lock clean

demo: $(VENV)/installed
	$(BIN)/chaos-locust demo

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# All but what takes long by its nature; that is told as skipped.
test: lint
	$(PYTEST) --quick $(AT_ONCE)

test-long: $(VENV)/installed
	$(PYTEST) -m long $(AT_ONCE)

# In a real cluster: that of KUBECONFIG, or one that the script CHAOS_LOCUST_KUBE_UP starts.
test-kube: $(VENV)/installed
	tests/kube/run.sh $(PYTEST)

# Every kind of fault, every process killed, at every point: most of an hour, as root for all kinds.
crash-matrix: $(VENV)/installed
	$(BIN)/python -m tests.crash.matrix

simulate: $(VENV)/installed
	$(BIN)/python -m tests.simulation

bench: $(VENV)/installed
	$(BIN)/python -m bench

$(VENV)/installed: pyproject.toml requirements-dev.lock
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

# Pins every package of every extra, without naming where they came from.
lock:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --extra demo --extra dev --strip-extras --no-emit-index-url --no-emit-trusted-host \
		--no-emit-find-links --no-header --output-file requirements-dev.lock pyproject.toml

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
