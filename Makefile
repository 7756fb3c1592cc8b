# Two commands do everything: `make course` and `make test`. Each first makes .venv, once.
#
# Needs make, bash and Python 3.11 or newer; another Python than the first one found: `make course PYTHON=/path/to/python3.12`.

SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.13; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
NOTEBOOKS := $(sort $(wildcard notebooks/[0-9][0-9]_*.ipynb))
TEST_ARGS ?=
COLAB ?= https://raw.githubusercontent.com/googlecolab/backend-info/main
# Jupyter ends the connection at a message of more than 10 MiB, without a word: an uploaded photo is one message.
LARGE_PHOTOS := 'websocket_max_message_size': 134217728

# Both commands run at pocket scale, also where a GPU and a network are there. The environment cannot overrule this.
course test pocket: export COURSE_SCALE := pocket
course pocket: export COURSE_BUDGET := course
test: export COURSE_BUDGET := test

.PHONY: help course test lab app pocket install lint format lock audit colab-versions clean clean-all

help:  ## This list
	@echo "Cartoonize Yourself: a StyleGAN2 course in notebooks"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

course: $(READY)  ## Run every notebook and build the site with all pictures: build/site/index.html
	@$(BIN)/python docs/run_course.py

test: lint  ## Lint, unit tests, every notebook with small budgets, browser test
	@$(BIN)/python -m pytest tests $(NOTEBOOKS) --nbmake --nbmake-timeout=600 --durations=10 $(TEST_ARGS)

lab: $(READY)  ## Open JupyterLab in the notebooks folder
	@$(BIN)/python -m jupyter lab --ServerApp.ip=127.0.0.1 --LabApp.default_url=/lab/tree/notebooks --ServerApp.tornado_settings="{$(LARGE_PHOTOS)}"

# Voila asks for no password, so it answers to names of this machine only; a picture on its way back is no flood of output.
app: $(READY)  ## Open notebook 10 as an app, without code: your photo as a cartoon
	@$(BIN)/python -m voila --Voila.ip=127.0.0.1 --Voila.tornado_settings="{$(LARGE_PHOTOS), 'allow_remote_access': False}" \
	  --ZMQChannelsWebsocketConnection.limit_rate=False docs/app.ipynb

pocket: $(READY)  ## Rebuild every shipped pocket model from nothing (hours; continues where it stopped)
	@$(BIN)/python -m stylegan2 pocket

install: $(READY)  ## Only make .venv
	@echo "$(VENV) is ready."

lint: $(READY)  ## Check code and notebooks with ruff
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet . || \
	  { echo "ruff is not content: the lines above say where; a file named without a reason only needs \`make format\`"; exit 1; }

format: $(READY)  ## Let ruff mend code and notebooks
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

lock: $(READY)  ## Write the versions now in .venv to constraints.txt
	@{ sed -n '/^#/p' constraints.txt; \
	   $(BIN)/python -m pip freeze --exclude-editable | grep -E '^[A-Za-z0-9._-]+==' | grep -viE '^(nvidia|cuda|triton)'; } > .constraints.new
	@mv .constraints.new constraints.txt && touch $(READY)

audit:  ## Check the pinned versions for known vulnerabilities (needs the network)
	@$(PYTHON) -m venv build/audit && build/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	@build/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

colab-versions:  ## Write down which packages Colab has now (needs the network)
	@mkdir -p build && cd build && curl -fsS -o colab_system.txt $(COLAB)/os-info-gpu.txt && \
	 curl -fsS -o colab_pip.txt $(COLAB)/pip-freeze.gpu.txt && \
	 { echo "# Colab's packages (GPU image) as of $$(date +%F), $$(grep -oE '^Python 3\.[0-9]+' colab_system.txt); from $(COLAB)."; \
	   echo "# \`make colab-versions\` writes this file anew. tests/test_colab.py holds pyproject.toml against it."; \
	   grep -E '^[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+$$' colab_pip.txt; } > colab_list.txt && \
	 grep -q ', Python 3' colab_list.txt && grep -q '^torch==' colab_list.txt && mv colab_list.txt ../tests/colab_packages.txt \
	  || { echo "this is not what Colab publishes: tests/colab_packages.txt stays as it was"; exit 1; }

clean:  ## Remove what was built (build/ and caches); .venv stays
	rm -rf build .ruff_cache .pytest_cache *.egg-info
	find stylegan2 tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

clean-all: clean  ## Remove .venv too
	rm -rf $(VENV)

# .venv ------------------------------------------------------------------------------------------------------------
# .ready is written last and holds the folder it was made in: an install that was cut off, or a .venv that was moved or
# copied along with its folder, is made anew. A later call costs nothing until pyproject.toml or constraints.txt change.
ifneq ($(shell cat $(READY) 2>/dev/null),$(CURDIR))
.PHONY: $(READY)
endif

$(READY): pyproject.toml constraints.txt
	@if [ -e $(VENV)/.installing ] || { [ -s $(READY) ] && [ "$$(cat $(READY))" != "$(CURDIR)" ]; } || \
	  ! $(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	  if ! $(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Python 3.11 or newer is needed; found $$($(or $(PYTHON),python3) --version 2>&1 | tail -n 1)." >&2; \
	    echo "Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; \
	    exit 1; \
	  fi; \
	  rm -rf $(VENV) && $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }; \
	  echo "Installing into $(VENV), once. This takes a few minutes: PyTorch is large."; \
	else \
	  echo "Bringing $(VENV) up to date."; \
	fi
	@rm -f $(READY) && touch $(VENV)/.installing
	@PIP_ROOT_USER_ACTION=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input \
	  --constraint constraints.txt --editable '.[notebooks,docs,test,full]' \
	  || { rm -f $(VENV)/.installing; echo "pip could not install; its reason stands above. Run the same command again to go on." >&2; exit 1; }
	@rm -f $(VENV)/.installing && echo "$(CURDIR)" > $(READY)
