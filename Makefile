# make demo   sets up .venv and translates the samples with the embedded model, on the processor
# make demo ENGINE=torch   the same by PyTorch: on a GPU if there is one
# make test   the same environment plus PyTorch and the test tools: ruff, mypy, pytest
# make test TORCH_INDEX=https://download.pytorch.org/whl/cpu   takes PyTorch's small CPU build

PYTHON ?= python3
ENGINE ?= cpu
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
PLUGINS := plugins/batchtrans-llama plugins/batchtrans-en-es plugins/batchtrans-subtitles
PACKAGES := -e . -e 'plugins/batchtrans-llama[$(ENGINE)]' -e plugins/batchtrans-en-es -e plugins/batchtrans-subtitles
METADATA := constraints.txt setup.cfg pyproject.toml $(addsuffix /setup.cfg,$(PLUGINS))
INSTALLED := $(VENV)/.installed-$(ENGINE)

.PHONY: demo test clean

demo: $(INSTALLED)
	@set -e; for run in \
		"samples/input.po" \
		"samples/input.csv --column name --column description" \
		"samples/input.txt" \
		"samples/input.srt"; do \
		echo; echo "$$ batchtrans run $$run --to es"; \
		$(BIN)/batchtrans run $$run --to es || [ $$? -eq 1 ]; \
	done
	@echo; echo "The translations, some lines of each; the alignment logs stand beside them:"
	@for ending in po csv txt srt; do \
		echo; echo "== samples/input.es.$$ending"; \
		if [ $$ending = po ]; then sed -n '/^msgid "[^"]/,$$p' samples/input.es.po | head -n 12; \
		else head -n 6 samples/input.es.$$ending; fi; \
	done
	@echo; ls -l samples/input.es.*

test: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "batchtrans needs Python 3.10 or later; $(PYTHON) is older. Try: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "Python's venv module is missing. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(INSTALLED): $(VENV)/.created $(METADATA)
	@echo "Installing batchtrans, its llama backend and the English-Spanish model into $(VENV)."
ifeq ($(ENGINE),cpu)
	@echo "pip fetches about 25 packages, 100 MB in all, most of it CTranslate2 and numpy; on disk 300 MB."
else
	@echo "pip fetches about 60 packages. PyTorch is the large one: some 0.4 GB in all with its CPU build"
	@echo "(TORCH_INDEX=https://download.pytorch.org/whl/cpu), some 3 GB with the CUDA build that"
	@echo "pip takes by itself on Linux. On disk: 1.6 GB or 6 GB."
endif
	@echo "The model itself is part of this checkout."
	@$(PIP) $(PACKAGES)
	@touch $@

$(VENV)/.tested: $(INSTALLED)
	@echo "Adding PyTorch (some 0.4 GB with its CPU build, which TORCH_INDEX=https://download.pytorch.org/whl/cpu takes,"
	@echo "some 3 GB with the CUDA build that pip takes by itself on Linux; on disk 1.6 GB or 6 GB) and the test tools"
	@echo "(some 400 MB on disk, of which pyarrow and pandas, for data sets, are the most)."
	@$(PIP) -e '.[test]' -e 'plugins/batchtrans-llama[cpu,torch]'
	@touch $@

clean:
	rm -rf $(VENV) samples/*.es.*
