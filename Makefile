# make demo       the main job on the sample picture
# make test       the tests, in two processes (WORKERS=4 for more)
# make test-all   the same and the slow ones
# make gpu        what a GPU does with it: tests, workflows, times (benchmarks/gpu/run.py)
# make lint       ruff and mypy
# make docs       the node reference and the picture of the rooms, anew
# make wheel-test a wheel, installed alone, does the main jobs
# make clean      remove what these made
#
# A torch that is there already (active environment) is used as it is and never replaced; otherwise .venv gets one,
# the CPU build where no NVIDIA GPU is found.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TORCH_CPU := https://download.pytorch.org/whl/cpu
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# One thread a process: two that share a core's caches are faster than two that each start two threads.
WORKERS ?= 2
PYTEST = OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 INLAY_OFFLINE=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup

.PHONY: demo test test-all gpu lint docs wheel-test clean help

demo: $(VENV)/.ready
	@$(BIN)/inlay run zero_shot_inpaint --out inlay-out
	@echo "the picture above was made by the embedded model; try your own: $(BIN)/inlay run zero_shot_inpaint --image photo.png --mask hole.png --source HUB_ID"

test: $(VENV)/.test
	@$(PYTEST) -m "not slow and not cuda"

test-all: $(VENV)/.test
	@$(PYTEST) -m "not cuda"

gpu: $(VENV)/.test
	@$(BIN)/python benchmarks/gpu/run.py --out inlay-out/gpu

lint: $(VENV)/.lint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check -q . || { echo "run: $(BIN)/ruff format ."; exit 1; }
	@mkdir -p .mypy_cache/root && ln -sfn "$(CURDIR)" .mypy_cache/root/inlay  # mypy wants the package's name, whatever the folder's
	@cd .mypy_cache/root && "$(CURDIR)/$(BIN)/python" -m mypy --config-file inlay/pyproject.toml inlay/graph_runtime inlay/nodes inlay/methods inlay/models inlay/pictures inlay/training

docs: $(VENV)/.ready
	@$(BIN)/python -m inlay.graph_runtime.front.docs
	@$(BIN)/python scripts/house.py
	@$(BIN)/python -c "from inlay.models.known_keys.page import page; open('docs/files.md', 'w', encoding='utf-8').write(page())"

$(VENV)/.torch: constraints.txt
	@if $(PYTHON) -c "import torch" 2>/dev/null; then \
		echo "using the torch that is there already"; \
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
