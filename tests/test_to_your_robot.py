"""The page from training to use is run as it is printed: its files, its commands; only the training is tiny."""

import re
import runpy
import shlex
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from drml.cli.main import main
from drml.policies.mlp import MLPConfig
from drml.run import session

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/to-your-robot.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = [line for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
SIZES = {"meta_iters": 1, "num_tasks": 2, "copies": 2, "validation_tasks": 2}


@pytest.fixture
def page(monkeypatch, tmp_path):
    """Lie in a folder with the page's files; trainings and tests are small."""
    start, test = session.start, session.test

    def start_small(config, *args):
        return start(replace(config, train=replace(config.train, **SIZES), policy=MLPConfig((8,))), *args)

    monkeypatch.setattr(session, "start", start_small)
    monkeypatch.setattr(session, "test", lambda run, *_: test(run, num_tasks=2, copies=2))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.chdir(tmp_path)
    for name, code in FILES.items():
        Path(name).write_text(code, encoding="utf-8")
    Path("control_loop.py").write_text((ROOT / "examples/control_loop.py").read_text(encoding="utf-8"))
    runpy.run_path("learn.py", run_name="__main__")
    yield tmp_path
    sys.modules.pop("pendulums", None)


@pytest.mark.skipif(not all(map(find_spec, ("onnx", "onnxruntime", "keras"))), reason="drml[onnx,keras] is not there")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_page_goes_from_training_to_use(page, capsys):
    assert {path.name for path in Path("pendulum-agent").iterdir()} >= {"config.json", "model.safetensors", "README.md"}
    runpy.run_path("adapt.py", run_name="__main__")
    runpy.run_path("own_loop.py", run_name="__main__")
    said = capsys.readouterr().out
    assert "adapted on 1000 environment steps" in said and "mean return" in said
    for command in COMMANDS:
        program, *words = shlex.split(command)
        if program == "drml":
            assert main(words) == 0, (command, capsys.readouterr().err)
        else:
            assert program == "python"
            runpy_words(words)
    assert "actions" in capsys.readouterr().out
    assert (Path("adapted-by-command") / "curve.json").exists()
    alone = [
        sys.executable,
        "-c",
        "import sys; sys.modules['torch'] = sys.modules['drml'] = None; exec(open(sys.argv[1]).read())",
    ]
    assert "array" in subprocess.run([*alone, "without_torch.py"], capture_output=True, text=True, check=True).stdout
    keras = FILES["in_tensorflow.py"].replace('"tensorflow"', '"torch"')  # make test-tensorflow has TensorFlow itself
    found = subprocess.run([sys.executable, "-c", keras], capture_output=True, text=True, check=True)
    assert "tensor" in found.stdout


def runpy_words(words):
    program, *rest = words
    before, sys.argv = sys.argv, [program, *rest]
    try:
        runpy.run_path(program, run_name="__main__")
    finally:
        sys.argv = before
