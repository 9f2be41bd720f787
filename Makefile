# make demo        the main job: train, adapt, film and report on the half-cheetah (about 6 minutes on 2 cores)
# make test        lint, format, types and the fast tests
# make test-all    the same with learning curves and fault tests
# make test-mujoco3  the tests of the robots with MuJoCo 3.17, the oldest that serves, in an environment of its own
# make test-tensorflow  the tests of TensorFlow's forms of an agent, in an environment of its own: it caps h5py
# make bench       env steps per second: whole meta-iterations, robots and foreign environments, beside the bare ones
# make docs        the reference of all public names, in docs/api/; fails where one is not documented or not shown
# make pictures    the pictures of the documentation, drawn again (a minute: one of them is of a training)
# make lint        lint, format and types only
# make clean       delete what was built; runs stay
#
# Each makes what it needs first, the virtual environment included, and does so once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MUJOCO3 := .venv-mujoco3
TENSORFLOW := .venv-tensorflow
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
THROUGHPUT := $(BIN)/python benchmarks/throughput.py
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

.PHONY: demo test test-all test-mujoco3 test-tensorflow bench docs pictures lint clean

demo: $(VENV)/.ready-to-run
	$(BIN)/drml demo

test: lint
	$(PYTEST) -m "not slow"

test-all: lint
	$(PYTEST)

# Never by exchanging MuJoCo in place: 4 leaves parts behind that keep 3 from being loaded.
test-mujoco3: $(MUJOCO3)/.ready-to-test
	OMP_NUM_THREADS=1 $(MUJOCO3)/bin/pytest -n 2 tests/envs/mujoco tests/suites/robots

test-tensorflow: $(TENSORFLOW)/.ready-to-test
	OMP_NUM_THREADS=1 $(TENSORFLOW)/bin/pytest tests/export/test_tensorflow.py

bench: $(VENV)/.ready-to-test
	$(THROUGHPUT) --suite half-cheetah-dir-promp-v1 --learner promp --json -
	$(THROUGHPUT) --suite half-cheetah-dir-promp-v1 --learner maml --json -
	$(THROUGHPUT) --suite navigation-maml-v1 --learner maml --tasks 20 --json -
	$(BIN)/python benchmarks/robots.py --tasks 20 --copies 5 --steps 100 --turns 3
	$(BIN)/python benchmarks/adapter.py --json -

docs: $(VENV)/.ready-to-test
	$(BIN)/python docs/make/reference.py

pictures: $(VENV)/.ready-to-test
	OMP_NUM_THREADS=1 $(BIN)/python docs/make/pictures.py

lint: $(VENV)/.ready-to-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

clean:
	rm -rf $(VENV) $(MUJOCO3) $(TENSORFLOW) build dist docs/api src/*.egg-info .pytest_cache .ruff_cache

$(VENV)/.ready-to-run: $(VENV)/.torch pyproject.toml
	@echo "installing drml and its packages (once)"
	$(PIP) -e ".[mujoco,report]"
	@touch $@

$(VENV)/.ready-to-test: $(VENV)/.torch pyproject.toml
	@echo "installing drml, its packages and the tools of development (once)"
	$(PIP) -e ".[mujoco,report,box2d,minigrid,atari,shimmy,sb3,onnx,keras,dev]"
	@touch $@ $(VENV)/.ready-to-run

$(MUJOCO3)/.ready-to-test: constraints.txt pyproject.toml
	test -x $(MUJOCO3)/bin/python || $(PYTHON) -m venv $(MUJOCO3)
	grep -v '^mujoco' constraints.txt > $(MUJOCO3)/constraints.txt
	@echo "installing drml and its packages, with MuJoCo 3.17 (once)"
	$(MUJOCO3)/bin/python -m pip install --quiet --disable-pip-version-check -c $(MUJOCO3)/constraints.txt torch
	$(MUJOCO3)/bin/python -m pip install --quiet --disable-pip-version-check -c $(MUJOCO3)/constraints.txt \
	  -e ".[mujoco,report,dev]" "mujoco==3.17.*"
	@touch $@

$(TENSORFLOW)/.ready-to-test: constraints.txt pyproject.toml
	test -x $(TENSORFLOW)/bin/python || $(PYTHON) -m venv $(TENSORFLOW)
	grep -vE '^(h5py|ml.dtypes|protobuf|numpy)' constraints.txt > $(TENSORFLOW)/constraints.txt
	@echo "installing drml and its packages, with TensorFlow (once)"
	$(TENSORFLOW)/bin/python -m pip install --quiet --disable-pip-version-check -c $(TENSORFLOW)/constraints.txt torch
	$(TENSORFLOW)/bin/python -m pip install --quiet --disable-pip-version-check -c $(TENSORFLOW)/constraints.txt \
	  -e ".[tensorflow,dev]"
	@touch $@

# Alone and first: the largest download, and the only one that other packages must not choose.
$(VENV)/.torch: constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing torch (once)"
	$(PIP) torch
	@touch $@
