# The commands that README shows first.  Each does all the set-up it needs, in .venv; nothing outside this folder changes.
#   make demo    repair pictures and film, enlarge a few real textures, and draw sheets to look at
#   make test    run the tests
#   make lint    ruff and mypy
#   make mutants plant bugs in the CUDA kernels, and see each one noticed (some minutes)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

DEMO := demo-output
DEMO_MODEL ?= x4plus

.PHONY: setup hints test demo lint mutants clean
.DELETE_ON_ERROR:

setup: $(READY)

# torch comes first: the compiled library is built against its headers, and an isolated build would download it again.
# setuptools and wheel are for basicsr, which comes as a source distribution.
$(READY): pyproject.toml CMakeLists.txt $(wildcard cuda_ops/*.h cuda_ops/*.cpp cuda_ops/*.cu)
	@$(MAKE) --no-print-directory hints
	@echo "set-up in $(VENV) (some minutes, once): torch and the tools"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install -qq "torch>=2.11" torchvision numpy setuptools wheel "scikit-build-core>=0.11" "cmake>=3.24" ninja
	@echo "set-up in $(VENV): this project, its compiled library and extras"
	@$(PIP) install -qq --no-build-isolation --editable ".[weights,train,film,dev]"
	@$(BIN)/python -c "from restore import ops; print('set-up done; masked_conv2d on the CPU:', ops.kernels('cpu')['masked_conv2d'])"
	@touch $@

# Says what would help, and installs none of it.
hints:
	@missing=""; \
	command -v c++ >/dev/null 2>&1 || missing="$$missing g++"; \
	if command -v ldconfig >/dev/null 2>&1 || test -x /sbin/ldconfig; then \
	  known=$$(PATH="$$PATH:/sbin:/usr/sbin" ldconfig -p); \
	  case "$$known" in *libGL.so.1*) ;; *) missing="$$missing libgl1" ;; esac; \
	  case "$$known" in *libgthread-2.0.so.0*) ;; *) missing="$$missing libglib2.0-0" ;; esac; \
	fi; \
	test -z "$$missing" || echo "Debian packages that would help: apt install$$missing"; \
	command -v nvcc >/dev/null 2>&1 || echo "no nvcc: the compiled library gets CPU kernels only"

test: $(READY)
	$(BIN)/python -m pytest -q

demo: $(READY)
	$(BIN)/restore inpaint examples/photos $(DEMO)/photos
	$(BIN)/restore inpaint examples/holes $(DEMO)/holes --holes 'key:#ff00ff'
	$(BIN)/restore verify $(DEMO)/photos
	$(BIN)/restore sheet examples/photos $(DEMO)/photos $(DEMO)/repaired.png
	$(BIN)/restore film examples/film/reel.mkv $(DEMO)/reel.mkv --max-size 12 --review $(DEMO)/film-pages
	$(BIN)/restore upscale examples/textures $(DEMO)/textures --model $(DEMO_MODEL)
	$(BIN)/restore sheet examples/textures $(DEMO)/textures $(DEMO)/before-after.png
	@echo
	@echo "Look at  $(DEMO)/repaired.png      two old photographs, before and after"
	@echo "         $(DEMO)/holes/            a texture whose magenta parts were filled"
	@echo "         $(DEMO)/film-pages/       frames of two seconds of film: source, holes, result; reel.mkv is the film"
	@echo "         $(DEMO)/textures/         the textures, four times larger, under the same names"
	@echo "and at   $(DEMO)/before-after.png  before and after, side by side"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

mutants: $(READY)
	$(BIN)/python tests/cuda_ops/mutate.py

clean:
	rm -rf $(VENV) build dist $(DEMO) .mypy_cache .pytest_cache .ruff_cache
