"""docs/keras.md is run as it is printed: its network, its command with a tiny budget, its script."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from drml.cli.main import main

PAGE = (Path(__file__).parents[1] / "docs/keras.md").read_text(encoding="utf-8")
NETWORK, SCRIPT = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMAND = next(line for line in PAGE.splitlines() if line.startswith("drml train"))
TINY = "--meta-iters 1 --tasks 2 --episodes 2 --validation-tasks 2 --threads 1"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_page_does_what_it_says(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("networks.py").write_text(NETWORK, encoding="utf-8")
    assert main([*shlex.split(COMMAND)[1:], *TINY.split()]) == 0
    exec(compile(SCRIPT, "keras.md", "exec"), {})
    model = keras.saving.load_model("agent.keras")
    assert [layer.units for layer in model.layers] == [64, 2]
    sys.modules.pop("networks", None)
