"""Environments that others wrote, from PyPI, through all that `drml` does with a family of tasks.

Each is made a family in a few lines, in `foreign/`; then `drml check`, and with a gradient learner (MAML) and one with
memory (RL²) `train`, `test`, `report`, `adapt` and `export` run on it with tiny budgets: this tries what the packages
are like, not what is learned. Packages are installed in an environment of their own, without the pins that would change
torch, NumPy or Gymnasium; `--install-line` prints the command. What is not installed is skipped, and said.

    python benchmarks/environments.py --install-line
    python benchmarks/environments.py                     all; the results of those tried replace the stored ones
    python benchmarks/environments.py --table             the table of docs/environments.md, of the stored results
    python benchmarks/environments.py --only platforms crafter --keep /tmp/runs
    drml check foreign.hybrids:platforms                  from this directory, one of them by hand
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from foreign.families import FAMILIES
from foreign.package import PACKAGES
from foreign.table import brief, table

HERE = Path(__file__).resolve().parent
STORED = HERE / "results/environments.json"
LEARNERS = {"maml": (), "rl2": ("--policy.size", "32")}
FEW = ("--num-tasks", "2", "--copies", "2")
SURROUNDINGS = {
    "SDL_VIDEODRIVER": "dummy",  # games of pygame open windows otherwise
    "SDL_AUDIODRIVER": "dummy",
    "PYTHONPATH": str(HERE),
}


def command(*words: str, out: Path) -> dict[str, Any]:
    """Run a command of `drml` in a folder; return its exit code and, where it failed, the end of what it said."""
    with (out / "said.txt").open("w") as file:
        done = subprocess.run(
            [sys.executable, "-m", "drml", *words],
            cwd=out,  # some packages write into it
            env=os.environ | SURROUNDINGS,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    said = (out / "said.txt").read_text(errors="replace").strip().splitlines()
    wrong = [] if done.returncode == 0 else [line.replace(str(out), "OUT") for line in said[-3:]]
    return {"exit_code": done.returncode, "said": wrong}


def attempt(family: str, out: Path) -> dict[str, Any]:
    """Return what each command gave for one family."""
    package, found = PACKAGES[family], out / "check.json"
    out.mkdir(parents=True)
    name, own = f"{package.module}:{family}", f"foreign.own:{family}"
    steps = ("--num-tasks", "2", "--steps", "150", "--max-seconds", "150", "--json", str(found))
    outcome: dict[str, Any] = {"package": package.name, "version": version(package.name)}
    outcome["check"] = command("check", name, *steps, out=out)
    if found.exists():
        outcome["check"]["findings"] = json.loads(found.read_text())
    for learner, flags in LEARNERS.items():
        run = str(out / learner)
        budget = ("--meta-iters", "2", "--validation-tasks", "2", *FEW, *flags)
        outcome[learner] = {
            "train": command("train", name, learner, "--out", run, *budget, out=out),
            "test": command("test", run, "--adapt-steps", "1", *FEW, out=out),
            "report": command("report", run, out=out),
            "adapt": command("adapt", run, own, "--episodes", "2", out=out),
            "export": command("export", run, "--to", "onnx", "--out", f"{run}-onnx", out=out),
        }
    return outcome


def installed(family: str) -> bool:
    """Return whether a family's package is there, and say so where it is not."""
    package = PACKAGES[family]
    try:
        found = version(package.name)
    except PackageNotFoundError:
        print(f"{family}: {package.name} is not installed, skipped", file=sys.stderr)
        return False
    if found != package.version:
        print(f"{family}: {package.name} is {found}, tried was {package.version}", file=sys.stderr)
    return True


def install_line() -> str:
    """Return the command that installs all packages in the environment that runs this."""
    names = {f"{package.name}=={package.version}": None for package in PACKAGES.values()}
    also = {name: None for package in PACKAGES.values() for name in package.also.split()}
    return " ".join([sys.executable, "-m pip install --no-deps", *names, *also])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--only", nargs="+", choices=FAMILIES, default=list(FAMILIES), metavar="FAMILY")
    parser.add_argument("--keep", type=Path, help="keep the runs below this directory")
    parser.add_argument("--json", type=Path, default=STORED, help="file of the raw results (results/environments.json)")
    parser.add_argument("--install-line", action="store_true", help="print how the packages are installed")
    parser.add_argument("--table", action="store_true", help="print the table of docs/environments.md")
    args = parser.parse_args()
    result = json.loads(args.json.read_text()) if args.json.exists() else {"families": {}}
    if args.install_line or args.table:
        print(install_line() if args.install_line else table(FAMILIES, PACKAGES, result["families"]))
        return
    result |= {name: version(name) for name in ("torch", "numpy", "gymnasium", "shimmy")}
    result["python"] = platform.python_version()
    with tempfile.TemporaryDirectory() as scratch:
        base = (args.keep or Path(scratch)).resolve()
        for family in filter(installed, args.only):
            outcome = result["families"][family] = attempt(family, base / family)
            print(f"{family}: {brief(outcome)}", flush=True)
            args.json.write_text(json.dumps(result, indent=1) + "\n")  # after each, as all of them take long


if __name__ == "__main__":
    main()
