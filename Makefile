# One entry for everything. A virtual environment is made on first use, in .venv.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/
INSTALLED := $(VENV)/.installed
QUALITY := $(VENV)/.quality
SYSTEM := $(VENV)/.system-packages

.PHONY: gpu install demo test slow lint fuzz mutations storm rehearsal perf models docs clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN)python -m pip install --quiet --upgrade "pip>=24"
	$(RUN)python -m pip install --quiet -c constraints.txt "setuptools<81" torch torchvision
	$(RUN)python -m pip install --quiet -c constraints.txt -e ".[dev]"
	$(RUN)bench weights get lpips || echo "LPIPS will be a dash: its weights could not be fetched."
	touch $@

# For tests alone: its licence is for non-commercial use, so that nothing else installs it.
$(QUALITY): pyproject.toml constraints.txt | $(INSTALLED)
	$(RUN)python -m pip install --quiet -c constraints.txt -e ".[quality]" \
		|| echo "Tests that need pyiqa will skip: it could not be installed."
	touch $@

# A browser and LaTeX, which some tests drive; these tests skip, and say so, where they are not.
$(SYSTEM): tests/system-packages.txt | $(INSTALLED)
	@{ [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && apt-get update -qq \
		&& DEBIAN_FRONTEND=noninteractive \
		xargs apt-get install -y -qq --no-install-recommends < $< > /dev/null; } \
		|| echo "Tests that need $$(xargs < $<) will skip: these could not be installed."
	touch $@

demo: install
	$(RUN)bench prepare sample --scale 8
	$(RUN)bench run bicubic ilvr ddnm dpi --testset sample-64-x8
	$(RUN)bench report bicubic ilvr ddnm dpi --testset sample-64-x8 --strip results/demo.png \
		--html results/demo

# Whole files of tests go to one of WORKERS processes, each of one thread.
WORKERS ?= 2
test: install $(QUALITY) $(SYSTEM) lint
	OMP_NUM_THREADS=1 $(RUN)python -m pytest -n $(WORKERS) --dist loadfile --durations=20 \
		-m "not slow and not cluster"

# Rehearsals at 256 px, storms of kills, a Ray cluster, whole golden dumps, the notebook.
slow: install $(QUALITY)
	OMP_NUM_THREADS=1 $(RUN)python -m pytest -n $(WORKERS) --dist loadfile --durations=20 -m "slow or cluster"

lint: install
	$(RUN)ruff format --check .
	$(RUN)ruff check .
	$(RUN)mypy

# Damaged files for every parser: EXAMPLES of each, new ones in every run.
EXAMPLES ?= 2000
fuzz: install
	BENCH_FUZZ_EXAMPLES=$(EXAMPLES) $(RUN)python -m pytest tests/fuzz

# Plausible mistakes in the mathematics, one at a time: the tests must notice each.
mutations: install
	$(RUN)python -m tests.mutations

# KILLS of commands at random moments: in the end every file must be as if there had been none.
KILLS ?= 200
storm: install
	$(RUN)python -m tests.storm $(KILLS)

# `bench reproduce table1` at 256 px with random weights in the released layouts.
rehearsal: install
	$(RUN)python -m tests.rehearsal $$(mktemp -d)/rehearsal

perf: install
	$(RUN)python -m pip install --quiet -c constraints.txt -e ".[perf]"
	$(RUN)python -m perf

# All that needs a GPU, within nine minutes; without one it says what it would do. Any Python with
# torch will do: make gpu GPU_PYTHON=python3 DATA=faces.zip
GPU_PYTHON ?= $(if $(wildcard $(RUN)python),$(RUN)python,python3)
OUT ?= results/gpu
gpu:
	$(GPU_PYTHON) -m perf.gpu $(OUT) $(if $(DATA),--data $(DATA))

# The embedded networks but the prior, from the cards in their headers: make models DATA=faces.zip
MODELS := sr3-64-x8 corrector-64-x8 corrector-64-x4 corrector-64-x16 corrector-64-x1
models: install
	@[ -n "$(DATA)" ] || { echo "Give the images: make models DATA=faces.zip"; exit 2; }
	set -e; for name in $(MODELS); do $(RUN)bench train again bench/checkpoints/$$name.safetensors \
		--data $(DATA) --out results/models/$$name; done

docs: install
	$(RUN)python -m tools.generate
	$(RUN)mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) testsets results/sample-* results/demo results/demo.png
