# make demo       take something out of the sample photo
# make test       run the tests in two processes (WORKERS=4 for more)
# make test-all   run all tests, the slow ones too
# make test-gate  run these and those of strace and of chromium in one go, as .ci/run does
# make strace     run hostile paths under strace, which must be installed (.ci/strace-test installs it)
# make browser    run the tests that need a chromium (.ci/browser-test installs Debian's)
# make quantised  run the tests of quantised weights, with torchao in a folder of its own (.ci/quantised-test)
# make ray        run the tests that need a Ray cluster, which they start on this machine (installs Ray)
# make oracle     let ComfyUI's own editor judge what we write of GRAPHS=300 generated workflows
# make fuzz       send inlay spoilt files for MINUTES=5 on all cores (Linux)
# make page-rounds a thousand rounds of paint, save and reopen in the page of `inlay serve` (COUNT=1000)
# make gpu        test and measure on a GPU (benchmarks/gpu/run.py)
# make kills      kill working processes at random instants and look for anything lost (N=200 kills, SEED=…)
# make job-kills  kill a job over N=10000 small pictures KILLS=100 times (SEED=…): none lost, none made twice
# make serve-kills  kill `inlay serve` at random instants under load (N=100 kills, SEED=…), and look for anything lost
# make serve-openapi  ask the server everything that its description allows, and more (N=100 requests for each call)
# make concurrent 8 processes that save and remember 1,000 times each at once, with and without hard links
# make lint       run ruff and mypy
# make docs       regenerate the node reference and the picture of the rooms
# make wheel-test build a wheel, install it alone, run the main jobs
# make clean      remove everything that these commands made
#
# If the active environment has torch, it is used and never replaced. Otherwise .venv gets its own, the CPU build where
# there is no NVIDIA GPU.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TORCH_CPU := https://download.pytorch.org/whl/cpu
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# One thread per process: this is faster than two processes with two threads each on two cores.
WORKERS ?= 2
PYTEST = OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 INLAY_OFFLINE=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup

.PHONY: demo test test-all fuzz strace browser oracle gpu kills serve-kills serve-openapi concurrent lint docs wheel-test clean help

demo: $(VENV)/.ready
	@$(BIN)/inlay run inpaint --out inlay-out
	@echo "That is workflows/inpaint/photo.jpg without what workflows/inpaint/hole.png marks. Your own photo: $(BIN)/inlay inpaint photo.jpg hole.png"

test: $(VENV)/.test
	@$(PYTEST) -m "not slow and not cuda and not strace and not browser and not ray and not quantised"

test-all: $(VENV)/.test
	@$(PYTEST) -m "not cuda and not strace and not browser and not ray and not quantised"

.PHONY: test-gate
test-gate: $(VENV)/.test
	@$(PYTEST) -m "not cuda and not ray and not quantised"

.PHONY: ray
ray: $(VENV)/.test
	@$(BIN)/python -c "import ray" 2>/dev/null || $(BIN)/python -m pip install -q "ray>=2.40"
	@$(PYTEST) -n 0 -m ray tests/front/ray

.PHONY: quantised
quantised: $(VENV)/.test
	@test -d $(VENV)/quantised/torchao || $(BIN)/python -m pip install -q --no-deps --target $(VENV)/quantised "torchao>=0.18"
	@PYTHONPATH=$(VENV)/quantised $(PYTEST) -n 0 -m quantised tests/models

strace: $(VENV)/.test
	@$(PYTEST) -n 0 -m strace

.PHONY: page-rounds
page-rounds: $(VENV)/.test
	@OMP_NUM_THREADS=1 INLAY_OFFLINE=1 PYTHONPATH=tests/helpers $(BIN)/python -m brush.rounds --count $(or $(COUNT),1000)

browser: $(VENV)/.test
	@$(PYTEST) -n 0 -m browser

GRAPHS ?= 300
oracle: $(VENV)/.test
	@INLAY_TEST_EDITOR_GRAPHS=$(GRAPHS) $(PYTEST) -n 0 tests/front/comfy/test_editor_oracle.py

MINUTES ?= 5
fuzz: $(VENV)/.test
	@$(BIN)/python scripts/fuzz.py --seconds $$(($(MINUTES) * 60)) --workers $$(nproc)

gpu: $(VENV)/.test
	@$(BIN)/python benchmarks/gpu/run.py --out inlay-out/gpu

N ?= 200
kills: $(VENV)/.test
	@OMP_NUM_THREADS=1 $(BIN)/python tests/helpers/kills.py --count $(N) $(if $(SEED),--seed $(SEED))

KILLS ?= 100
.PHONY: job-kills
job-kills: $(VENV)/.test
	@$(BIN)/python tests/helpers/job_kills.py --pictures $(if $(filter file,$(origin N)),10000,$(N)) --kills $(KILLS) $(if $(SEED),--seed $(SEED))

serve-kills: $(VENV)/.test
	@OMP_NUM_THREADS=1 $(BIN)/python tests/helpers/serve_kills.py --count $(if $(filter file,$(origin N)),100,$(N)) $(if $(SEED),--seed $(SEED))

serve-openapi: $(VENV)/.test
	@INLAY_TEST_OPENAPI=$(if $(filter file,$(origin N)),100,$(N)) $(BIN)/python -m pytest -q tests/front/serve/test_serve_openapi.py

concurrent: $(VENV)/.test
	@INLAY_TEST_CONCURRENT=1000 $(BIN)/python -m pytest -q -k "eight_processes" tests/core/test_leftovers.py tests/front/test_known_inputs.py

lint: $(VENV)/.lint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check -q . || { echo "run: $(BIN)/ruff format ."; exit 1; }
	@mkdir -p .mypy_cache/root && ln -sfn "$(CURDIR)" .mypy_cache/root/inlay  # mypy needs the package's name, whatever the name of the folder
	@cd .mypy_cache/root && "$(CURDIR)/$(BIN)/python" -m mypy --config-file inlay/pyproject.toml inlay/graph_runtime inlay/nodes inlay/methods inlay/models inlay/pictures inlay/training

docs: $(VENV)/.ready
	@$(BIN)/python -m inlay.graph_runtime.front.docs
	@$(BIN)/python scripts/house.py
	@$(BIN)/python scripts/example_workflows.py
	@$(BIN)/python -c "from inlay.models.known_keys.page import page; open('docs/files.md', 'w', encoding='utf-8').write(page())"

$(VENV)/.torch: constraints.txt
	@if $(PYTHON) -c "import torch" 2>/dev/null; then \
		echo "using the torch of the active environment"; \
		$(PYTHON) -m venv --system-site-packages $(VENV); \
	else \
		$(PYTHON) -m venv $(VENV) && \
		if [ "$$(uname)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1; then \
			echo "no NVIDIA GPU found: installing the CPU build of torch"; \
			$(BIN)/pip install -q --retries 1 --timeout 20 -c constraints.txt torch --index-url $(TORCH_CPU) 2>/dev/null \
			|| $(BIN)/pip install -q -c constraints.txt torch; \
		else \
			$(BIN)/pip install -q -c constraints.txt torch; \
		fi; \
	fi
	@$(BIN)/python -c "import torch; print('torch==' + torch.__version__)" > $(VENV)/torch.txt 2>/dev/null
	@touch $@

$(VENV)/.ready: $(VENV)/.torch pyproject.toml
	@echo "installing inlay into $(VENV)"
	@$(BIN)/pip install -q -c $(VENV)/torch.txt -e .
	@touch $@

$(VENV)/.test: $(VENV)/.ready
	@$(BIN)/pip install -q -c $(VENV)/torch.txt -e ".[test]"
	@touch $@

$(VENV)/.lint: $(VENV)/.ready
	@$(BIN)/pip install -q -c $(VENV)/torch.txt -e ".[lint]"
	@touch $@

wheel-test:
	@PYTHON=$(PYTHON) sh .ci/wheel-test

help:
	@sed -n 's/^# make /make /p' Makefile

clean:
	rm -rf $(VENV) build dist *.egg-info inlay-out .pytest_cache .ruff_cache .mypy_cache .hypothesis
