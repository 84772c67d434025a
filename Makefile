# `make run` and `make test` need Python 3.11+, make and a package index; everything else is installed here.
PYTHON ?= python3
SUITE  ?= suites/quick.yaml
BIN    := .venv/bin

.PHONY: run test check bench clean

run: .venv/run
	$(BIN)/harness run $(SUITE)

# Two processes, for most tests wait for processes of their own; what is timed comes after, alone.
test: .venv/test
	$(BIN)/python -m pytest -n 2 --dist worksteal --ignore tests/benchmarks
	$(BIN)/python -m pytest tests/benchmarks

check: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/test
	$(BIN)/python -m pytest tests/benchmarks -m "" --benchmark-columns=min,median,max,rounds

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "harness needs Python 3.11 or newer; set PYTHON=/path/to/one"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/run: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@$(call peers)
	@touch $@

.venv/test: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@$(BIN)/python -m pip install --quiet --editable '.[ray,slurm]' || echo "ray or submitit could not be installed; tests of them will be skipped"
	@$(call peers)
	@touch $@ .venv/run

# Decoders and attacks of others: only their own baselines and tests need them, so none of them may break the install. pyldpc is
# source-only and its set-up imports numpy without saying so: it is installed without build isolation.
define peers
$(BIN)/python -m pip install --quiet --editable '.[ldpc]' || \
  echo "ldpc and sionna could not be installed; their baselines will be skipped, everything else works"
@$(BIN)/python -m pip install --quiet setuptools wheel && \
  $(BIN)/python -m pip install --quiet --no-build-isolation 'pyldpc==0.7.9' || \
  echo "pyldpc could not be installed; its baseline will be skipped, everything else works"
@$(BIN)/python -m pip install --quiet --editable '.[attack]' && \
  $(BIN)/python -m pip install --quiet --no-deps 'torchattacks==3.5.1' || \
  echo "foolbox or torchattacks could not be installed; comparisons with them will be skipped, everything else works"
endef

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .benchmarks
