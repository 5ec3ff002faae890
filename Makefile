# One entry for everything. A virtual environment is made on first use, in .venv.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/
INSTALLED := $(VENV)/.installed

.PHONY: install demo test lint perf docs clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN)python -m pip install --quiet --upgrade "pip>=24"
	$(RUN)python -m pip install --quiet -c constraints.txt "setuptools<81" torch torchvision
	$(RUN)python -m pip install --quiet -c constraints.txt -e ".[dev]"
	$(RUN)bench weights get lpips || echo "LPIPS will be a dash: its weights could not be fetched."
	touch $@

demo: install
	$(RUN)bench prepare sample --scale 8
	$(RUN)bench run bicubic ilvr ddnm dpi --testset sample-64-x8
	$(RUN)bench report bicubic ilvr ddnm dpi --testset sample-64-x8 --strip results/demo.png

test: install lint
	$(RUN)python -m pytest

lint: install
	$(RUN)ruff format --check .
	$(RUN)ruff check .
	$(RUN)mypy

perf: install
	$(RUN)python -m pip install --quiet -c constraints.txt -e ".[perf]"
	$(RUN)python -m perf

docs: install
	$(RUN)python -m docs.generate

clean:
	rm -rf $(VENV) testsets results/sample-* results/demo.png
