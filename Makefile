PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-fast lint docs clean

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=…"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN)/pip install --quiet --upgrade pip
	$(RUN)/pip install --quiet --constraint constraints.txt --editable '.[test,lint]'
	touch $@

demo: $(INSTALLED)
	rm -rf demo && mkdir demo
	$(RUN)/hmm-plating simulate --model models/zinc.py --seed 1 --output demo/recording
	$(RUN)/hmm-plating filter demo/recording/qcmd.xlsx --electrochemistry demo/recording/echem.xlsx \
		--air demo/recording/quartz_in_air.xlsx --model models/zinc.py --seed 1 --output demo/posterior.nc
	$(RUN)/hmm-plating report demo/posterior.nc --output demo/report.html

test: $(INSTALLED)
	$(RUN)/pytest -n auto

test-fast: $(INSTALLED)
	$(RUN)/pytest -n auto -m "not slow"

docs: $(INSTALLED)
	$(RUN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(RUN)/sphinx-build -q -b html docs build/docs
	@echo build/docs/index.html

lint: $(INSTALLED)
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy

clean:
	rm -rf $(VENV) demo build *.egg-info
