# Needs Python 3.11 or newer and make, nothing else. PYTHON names the interpreter; PIP_ARGS is handed to every install
# (on Linux, name the CPU wheels of PyTorch there to spare a few gigabytes). Everything but torch and the packages of its
# accelerator is held to the hashes in constraints.txt; UV_ARGS is handed to `uv pip compile` by `make constraints`.
PYTHON ?= python3
PIP_ARGS ?=
# What `make test` installs besides. ALFWorld's engine compiles some minutes and needs a C++ compiler:
# make test EXTRAS=alfworld,chat,dev,docs,show,vllm runs its tests too; without it they are skipped, and say so.
EXTRAS ?= chat,dev,docs,show,vllm
UV_ARGS ?=
TORCH := torch==2.13.0
CAMPAIGN ?=
BIN := .venv/bin
HASHED := $(BIN)/python -m pip install -q $(PIP_ARGS) --require-hashes --no-deps -r .venv/needs.txt
GTR := OMP_NUM_THREADS=1 $(BIN)/gtr
DEMO := runs/demo

.PHONY: demo docs test test-engines bench study algorithms teachers doctor campaign constraints clean

demo: .venv/installed ## 10-15 minutes on 2 cores: thought collapse and its prevention, as a table, a picture and a page
	$(GTR) compare rl4vlm gtr --task points24 --seeds 1 --out $(DEMO) --serve 8024
	$(GTR) show $(DEMO) --export $(DEMO)/report.html

study: .venv/installed ## a night on 2 cores: every figure of README and docs/RESULTS.md (ONLY="NAME ...", QUICK=1)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/study.py $(if $(ONLY),--only $(ONLY)) $(if $(QUICK),--quick)

algorithms: .venv/installed ## half a day on 2 cores: every algorithm alone and beside guidance
	$(MAKE) study ONLY=algorithms

TEACHERS := weak teachers $(addprefix teachers_,points24 tokens merge interval likeliest hybrid)
teachers: .venv/installed ## a day on 2 cores: teachers against a corrector and against nobody (ONLY=teachers: a third)
	$(MAKE) study ONLY="$(or $(ONLY),$(TEACHERS))"

test: .venv/installed-$(EXTRAS)
	$(BIN)/ruff check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto

# A real vLLM for CPUs, 3.5 GB in an environment of its own, and beside it what some tests want that gtr does without.
ENGINES := .venv-engines
BESIDE := $(abspath $(ENGINES)/beside)
test-engines: .venv/installed-$(EXTRAS) $(ENGINES)/installed $(ENGINES)/beside/installed ## minutes, and more to install
	GTR_VLLM_PYTHON=$(abspath $(ENGINES)/bin/python) PYTHONPATH=$(BESIDE) OMP_NUM_THREADS=1 $(BIN)/pytest -q \
	  tests/engine/test_real_vllm.py tests/policy/test_processors.py tests/policy/test_quantised.py

$(ENGINES)/beside/installed: tests/engine/beside_requirements.txt tests/engine/mend_torchvision.py
	$(BIN)/python -m pip install -q $(PIP_ARGS) --no-deps --upgrade --target $(BESIDE) -r tests/engine/beside_requirements.txt
	PYTHONPATH=$(BESIDE) $(BIN)/python tests/engine/mend_torchvision.py
	touch $@

$(ENGINES)/installed: tests/engine/vllm_requirements.txt tests/engine/mend_torchvision.py
	$(PYTHON) -m venv $(ENGINES)
	$(ENGINES)/bin/python -m pip install -q $(PIP_ARGS) -r tests/engine/vllm_requirements.txt
	$(ENGINES)/bin/python -m pip uninstall -q -y torchaudio torchcodec
	$(ENGINES)/bin/python tests/engine/mend_torchvision.py
	touch $@

# TRL in an environment of its own, on top of gtr's packages: both sides compute with one torch and one transformers.
PEERS := .venv-peers
bench: .venv/installed $(PEERS)/installed ## 10-15 minutes: docs/PERFORMANCE.md (QUICK=1 tries it, WRITE=1 writes it)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/throughput.py --peers-python $(abspath $(PEERS)/bin/python) \
	  $(if $(QUICK),--quick) $(if $(WRITE),--write)

PLACE := import sysconfig; print(sysconfig.get_path("purelib"))
$(PEERS)/installed: .venv/installed tests/engine/mend_torchvision.py
	$(PYTHON) -m venv $(PEERS)
	$(BIN)/python -c '$(PLACE)' > "$$($(PEERS)/bin/python -c '$(PLACE)')/gtr.pth"
	$(PEERS)/bin/python -m pip install -q $(PIP_ARGS) trl==1.16.0
	$(PEERS)/bin/python -m pip install -q $(PIP_ARGS) --no-deps torchvision==0.28.0
	$(PEERS)/bin/python tests/engine/mend_torchvision.py
	touch $@

campaign: .venv/installed-$(EXTRAS) ## some hours; it says beforehand. CAMPAIGN='--minutes 30 --seed 7' makes less
	$(BIN)/python -m campaign $(CAMPAIGN)

constraints: .venv/bin/python ## renews the versions and hashes in constraints.txt (torch's version stands above)
	$(BIN)/python -m pip install -q $(PIP_ARGS) uv
	echo "torch; python_version < '3'" > .venv/without.txt
	grep '^#' constraints.txt > .venv/head.txt
	$(BIN)/uv pip compile pyproject.toml constraints.in --upgrade --universal --python-version 3.11 --generate-hashes \
	  --annotation-style line --no-header --override .venv/without.txt $(UV_ARGS) -o .venv/new.txt -q \
	  --extra alfworld --extra chat --extra dev --extra docs --extra hub --extra show --extra vllm --extra wandb
	cat .venv/head.txt .venv/new.txt > constraints.txt

docs: .venv/installed-$(EXTRAS) ## the site of docs/, into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

doctor: .venv/installed
	$(GTR) doctor

clean:
	rm -rf .venv $(ENGINES) $(PEERS) .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt constraints.in pins.py | .venv/bin/python
	$(BIN)/python pins.py show > .venv/needs.txt
	$(HASHED)
	$(BIN)/python -m pip install -q $(PIP_ARGS) $(TORCH)
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	touch $@

.venv/installed-$(EXTRAS): .venv/installed
	$(BIN)/python pins.py $(EXTRAS) > .venv/needs.txt
	$(HASHED)
	touch $@
