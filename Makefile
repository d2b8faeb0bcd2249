# Each target sets up what it needs. `make` alone lists the targets.
#   make test PYTHON=python3.12     another Python
#   make bench QUICK=1              each benchmark in under a minute
#   make screenshots IMG=FOLDER     pictures of the plugin's widgets elsewhere than in docs/img

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
DEMO ?= demo_results
IMG ?= docs/img

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
AICS := .venv-aicsimageio
AICS_STAMP := $(AICS)/.installed
CP4 := .venv-cellpose4
CP4_STAMP := $(CP4)/.installed
PIP := -m pip install --disable-pip-version-check --quiet
# 0 where the Python is one that the package supports.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))

# What a virtual screen for the tests of the napari plugin needs, by the names of Debian.
SCREEN := xvfb xauth libgl1 libegl1 libgl1-mesa-dri libxkbcommon-x11-0 libxcb-cursor0 \
  libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 \
  libxcb-xinerama0 libdbus-1-3
# Empty where there is none: the tests that need a screen are skipped then, and say so.
ON_SCREEN = $$(command -v xvfb-run >/dev/null && echo xvfb-run -a -s \"-screen 0 1600x1000x24\")

.PHONY: help demo test lint bench screen screenshots test-aicsimageio test-cellpose4 clean
.DELETE_ON_ERROR:

help:
	@echo "make demo               analyse the sample biopsies, results in $(DEMO)/"
	@echo "make test               all tests"
	@echo "make lint               ruff and mypy"
	@echo "make bench [QUICK=1]    all benchmarks, into benchmarks/RESULTS.md"
	@echo "make screenshots        pictures of the plugin's widgets, into docs/img/"
	@echo "make test-aicsimageio   the reading tests with aicsimageio in place of bioio"
	@echo "make test-cellpose4     the tests of Cellpose 4, in an environment of its own (6 GB)"

demo: $(STAMP)
	$(BIN)/imganalysis demo --out $(DEMO) --overwrite

test: $(STAMP) screen
	eval $(ON_SCREEN) $(BIN)/python -m pytest -n $(JOBS)

# Installs what is missing, where that needs no password: as root, or by sudo.
screen:
	@if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null && \
	  ! dpkg-query -W -f '$${Status}\n' $(SCREEN) 2>/dev/null | grep -c '^install ok' | \
	    grep -qx $(words $(SCREEN)); then \
	  if [ "$$(id -u)" = 0 ]; then as_root=; else as_root="sudo -n"; fi; \
	  if $$as_root true 2>/dev/null; then \
	    echo "Installing a virtual screen for the tests of the napari plugin."; \
	    { $$as_root apt-get update -qq && $$as_root env DEBIAN_FRONTEND=noninteractive \
	      apt-get install -y -qq --no-install-recommends $(SCREEN); } >/dev/null 2>&1 || \
	      echo "It could not be installed; tests that need a screen are skipped." >&2; \
	  fi; \
	fi

screenshots: $(STAMP) screen
	eval $(ON_SCREEN) $(BIN)/python benchmarks/_screens.py --out $(IMG)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP) screen
	eval $(ON_SCREEN) $(BIN)/python benchmarks/run_all.py $(if $(QUICK),--quick)

# aicsimageio pins libraries so old that nothing but the reading can be tested beside it.
test-aicsimageio: $(AICS_STAMP)
	IMGANALYSIS_READER=aicsimageio $(AICS)/bin/python -m pytest tests/io

# Cellpose 4 and Cellpose 3 exclude each other.
test-cellpose4: $(CP4_STAMP)
	$(CP4)/bin/python -m pytest tests/cellpose4

define CHECK_PYTHON
	@$(PYTHON) -c '$(SUPPORTED)' || { \
	  echo "imganalysis needs Python 3.11, 3.12 or 3.13, but '$(PYTHON)' is" \
	    "$$($(PYTHON) --version 2>&1); give another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Setting up $(@D): a few minutes, once."
endef

$(STAMP): pyproject.toml constraints.txt
	$(CHECK_PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) --upgrade "pip>=25.1"
	$(BIN)/python $(PIP) -c constraints.txt -e ".[formats]" --group dev
	@touch $@

$(AICS_STAMP): pyproject.toml constraints-aicsimageio.txt
	$(CHECK_PYTHON)
	$(PYTHON) -m venv $(AICS)
	$(AICS)/bin/python $(PIP) --upgrade "pip>=25.1"
	$(AICS)/bin/python $(PIP) -r constraints-aicsimageio.txt
	$(AICS)/bin/python $(PIP) --no-deps -e .
	@touch $@

$(CP4_STAMP): pyproject.toml constraints-cellpose4.txt
	$(CHECK_PYTHON)
	$(PYTHON) -m venv $(CP4)
	$(CP4)/bin/python $(PIP) --upgrade "pip>=25.1"
	$(CP4)/bin/python $(PIP) -c constraints-cellpose4.txt -e ".[cellpose4]" pytest hypothesis
	@touch $@
