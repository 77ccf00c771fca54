# Needs Python 3.11 or newer and make, nothing else. PYTHON names the interpreter; PIP_ARGS is handed to every install
# (on Linux, name the CPU wheels of PyTorch there to spare a few gigabytes).
PYTHON ?= python3
PIP_ARGS ?=
# What `make test` installs besides. ALFWorld's engine compiles some minutes and needs a C++ compiler:
# make test EXTRAS=alfworld,chat,dev,show runs its tests too; without it they are skipped, and say so.
EXTRAS ?= chat,dev,show
BIN := .venv/bin
GTR := OMP_NUM_THREADS=1 $(BIN)/gtr
DEMO := runs/demo
STUDY := runs/study

.PHONY: demo test bench study algorithms doctor clean

demo: .venv/installed ## 10-15 minutes on 2 cores: thought collapse and its prevention, as a table, a picture and a page
	$(GTR) compare rl4vlm gtr --task points24 --seeds 1 --out $(DEMO) --serve 8024
	$(GTR) show $(DEMO) --export $(DEMO)/report.html

study: .venv/installed ## about an hour and a half on 2 cores: both point games, three and six seeds, the ablations
	$(GTR) compare rl4vlm gtr sft_only no_dagger clone_actions annealed_cloning --task ezpoints --out $(STUDY)/ezpoints
	$(GTR) compare rl4vlm gtr --task points24 --seeds 1 2 3 4 5 6 --out $(STUDY)/points24

ALGORITHMS := rl4vlm ppo vl_dac turn_ppo bilevel_gae starpo_s grpo rloo gspo dapo gigpo hgpo reinforce_pp
algorithms: .venv/installed ## about a day on 2 cores: every algorithm alone and beside guidance, both point games, three seeds
	$(GTR) compare gtr $(ALGORITHMS) $(ALGORITHMS:=+gtr) --task ezpoints --out runs/algorithms/ezpoints
	$(GTR) compare gtr $(ALGORITHMS) $(ALGORITHMS:=+gtr) --task points24 --out runs/algorithms/points24

test: .venv/installed-$(EXTRAS)
	$(BIN)/ruff check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto

bench: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/throughput.py

doctor: .venv/installed
	$(GTR) doctor

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install -q $(PIP_ARGS) -c constraints.txt torch
	$(BIN)/python -m pip install -q $(PIP_ARGS) -c constraints.txt -e '.[show]'
	touch $@

.venv/installed-$(EXTRAS): .venv/installed
	$(BIN)/python -m pip install -q $(PIP_ARGS) -c constraints.txt -e '.[$(EXTRAS)]'
	touch $@
