VENV ?= .venv
DEMO_VENV ?= .venv-demo
TRITON_VENV ?= .venv-triton
PYTHON ?= python3
BIN = $(VENV)/bin
PIP = -m pip install --disable-pip-version-check --quiet --constraint constraints.txt
EXTRAS = cpu,train,data,export,video,plots,openvino,parquet,pandas,dev

.PHONY: install system demo check test triton-test format clean

## install: everything that a machine without a GPU can run, into VENV (.venv)
install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	# editable_mode=compat puts the repository root on the path, so that scripts can `from benchmarks import ...`
	$(BIN)/python $(PIP) --config-settings editable_mode=compat --editable '.[$(EXTRAS)]'
	touch $@

## system: Debian's RTSP server for the tests of network streams (needs root)
system:
	apt-get install --yes --no-install-recommends python3-gi gir1.2-gst-rtsp-server-1.0 \
		gstreamer1.0-plugins-base gstreamer1.0-plugins-good

## demo: the runtime alone (no torch) in its own environment, and the main job on a real portrait
demo: $(DEMO_VENV)/.installed
	$(DEMO_VENV)/bin/lmdeploy demo --out demo-output

$(DEMO_VENV)/.installed: pyproject.toml constraints.txt
	test -x $(DEMO_VENV)/bin/python || $(PYTHON) -m venv $(DEMO_VENV)
	$(DEMO_VENV)/bin/python $(PIP) --no-compile '.[cpu,video,plots]'
	touch $@

## check: lint, format, types and import contracts
check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

## test: install, check, and every test that this machine can run
test: install check
	$(BIN)/python -m pytest

## triton-test: a model repository in the real server of nvidia-pytriton, which has an environment of its own
triton-test: install $(TRITON_VENV)/.installed
	TRITON_VENV=$(TRITON_VENV) $(BIN)/python -m pytest tests/triton

$(TRITON_VENV)/.installed: tests/triton/requirements.txt constraints.txt
	test -x $(TRITON_VENV)/bin/python || $(PYTHON) -m venv $(TRITON_VENV)
	# the same ONNX Runtime on both sides, so that answers can be compared bit for bit
	$(TRITON_VENV)/bin/python -m pip install --disable-pip-version-check --quiet \
		--requirement tests/triton/requirements.txt "$$(grep '^onnxruntime==' constraints.txt)"
	touch $@

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(DEMO_VENV) $(TRITON_VENV) build *.egg-info
