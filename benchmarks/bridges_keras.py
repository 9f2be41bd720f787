"""How far the Keras, SavedModel and TFLite forms of agents are from torch, in a closed loop of 20 steps.

    .venv-tensorflow/bin/python benchmarks/bridges_keras.py --json benchmarks/results/bridges-keras.json

It runs tests/export/test_tensorflow.py, which compares them, in the environment of `make test-tensorflow`. Numbers are
the greatest difference of an output, as a share of its greatest number (of 1 where that is smaller).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

TEST = Path(__file__).parents[1] / "tests/export/test_tensorflow.py"
PACKAGES = ("torch", "keras", "tensorflow-cpu", "numpy")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        table = Path(place) / "table.json"
        command = [sys.executable, "-m", "pytest", "-q", str(TEST)]
        done = subprocess.run(command, env={**os.environ, "BRIDGES_JSON": str(table)}, check=False)
        if done.returncode or not table.exists():
            print("bridges_keras: error: the test did not pass; see above", file=sys.stderr)
            return 1
        rows = json.loads(table.read_text(encoding="utf-8"))
    found = {"versions": {name: version(name) for name in PACKAGES}, "differences": rows}
    args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    worst = {form: max(max(v for v in row.values() if isinstance(v, float)) for row in rows if row["form"] == form)
             for form in ("keras", "savedmodel", "tflite")}  # fmt: skip
    print("greatest differences:", ", ".join(f"{form} {value:.1e}" for form, value in worst.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
