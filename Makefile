# Everything sets itself up: the first target that needs a package installs it into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
# One more than there are processors: tests also wait for disks and for each other.
PROCESSES := $(shell $(PYTHON) -c "import os; print(min(os.cpu_count() + 1, 5))")
INSTALL = $(1)/bin/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test check bench bench-peers clean

demo: $(VENV)/.train  ## build, verify and account the embedded digits, train on them four ways, report
	$(BIN)/materialize demo --output demo

test: check  ## lint, types and every test
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.test  ## our own figures into outputs/
	$(BIN)/python -m tests.benchmarks

bench-peers: $(PEERS)/.peers  ## the same beside other libraries, in an environment of their own
	$(PEERS)/bin/python -m tests.benchmarks --peers

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.materialize: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(call INSTALL,$(VENV)) --constraint constraints.txt --editable .
	touch $@

$(VENV)/.train: $(VENV)/.materialize
	$(call INSTALL,$(VENV)) --constraint constraints.txt --editable '.[train]'
	touch $@

$(VENV)/.test: $(VENV)/.materialize
	$(call INSTALL,$(VENV)) --constraint constraints.txt --editable '.[test,check]'
	touch $@

# FFCV compiles against the headers of OpenCV and libjpeg-turbo; without them it is left out.
$(PEERS)/.peers: pyproject.toml constraints.txt $(wildcard tests/benchmarks/peers*.txt)
	$(PYTHON) -m venv $(PEERS)
	$(call INSTALL,$(PEERS)) --constraint constraints.txt --editable '.[test]'
	$(call INSTALL,$(PEERS)) --constraint constraints.txt --requirement tests/benchmarks/peers.txt
	$(call INSTALL,$(PEERS)) --no-deps --requirement tests/benchmarks/peers_alone.txt
	-$(call INSTALL,$(PEERS)) --no-deps ffcv==1.0.2
	touch $@

clean:
	rm -rf $(VENV) $(PEERS) demo build *.egg-info
