"""Each mistake: one line that names the thing and the way out, the documented code, no traceback, nothing written."""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from drml.cli.main import EXIT_CODES, main
from drml.run.rundir import lock

NAV = ["train", "navigation-maml-v1", "maml"]
RL2 = ["train", "navigation-maml-v1", "rl2"]
TINY = ["--meta-iters", "1", "--tasks", "2", "--episodes", "2", "--validation-tasks", "2"]
CHECKPOINT = Path("run/checkpoints/000001")
Prepare = Callable[[Path], object]

MISTAKES: list[tuple[list[str], int, list[str]]] = [  # command line, exit code, words of the message
    ([], 2, ["command is missing"]),
    (["lst"], 2, ["'lst'", "Did you mean 'list'"]),
    (["--frob"], 2, ["'--frob'"]),
    (["list", "suites"], 2, ["unexpected argument 'suites'"]),
    (["list", "--jsn", "x"], 2, ["'--jsn'", "Did you mean '--json'"]),
    (["train"], 2, ["SUITE and LEARNER", "drml list"]),
    (["train", "navigation-maml-v1"], 2, ["SUITE and LEARNER"]),
    (["train", "--seed", "1"], 2, ["SUITE and LEARNER"]),
    (["train", "navigation-mml-v1", "maml"], 2, ["'navigation-mml-v1'", "Did you mean 'navigation-maml-v1'"]),
    (["train", "navigation-maml-v1", "prompt"], 2, ["'prompt'", "Did you mean 'promp'"]),
    ([*NAV, "extra"], 2, ["extra"]),
    ([*NAV, "--seed", "1", "extra"], 2, ["unexpected argument 'extra'"]),
    ([*NAV, "--learner.inner.lrr", "1"], 2, ["'--learner.inner.lrr'", "Did you mean '--learner.inner.lr'"]),
    ([*NAV, "--gamma", "0.9"], 2, ["'--gamma'", "Did you mean '--learner.inner.gamma'"]),
    ([*NAV, "--meta-iter=3"], 2, ["'--meta-iter=3'", "Did you mean '--meta-iters'"]),
    ([*NAV, "--xyzzy"], 2, ["'--xyzzy'", "--help"]),
    ([*NAV, "--seed", "1.5"], 2, ["--seed expects a whole number, got '1.5'"]),
    ([*NAV, "--seed"], 2, ["--seed needs a value"]),
    ([*NAV, "--tasks", "many"], 2, ["--num-tasks expects a whole number, got 'many'"]),
    ([*NAV, "--learner.inner.lr", "fast"], 2, ["--learner.inner.lr expects a number, got 'fast'"]),
    ([*NAV, "--learner.inner.lr", "nan"], 2, ["lr is nan"]),
    ([*NAV, "--learner.inner.lr", "inf"], 2, ["lr is inf"]),
    ([*NAV, "--learner.inner.lr", "-0.1"], 2, ["lr is -0.1", "0 or more"]),
    ([*NAV, "--learner.inner.gamma", "1.5"], 2, ["gamma is 1.5", "between 0 and 1"]),
    ([*NAV, "--learner.inner.num-steps", "0"], 2, ["num_steps is 0", "1 or more"]),
    ([*NAV, "--learner.trust-region.max-kl", "nan"], 2, ["max_kl is nan"]),
    ([*NAV, "--learner.order", "3"], 2, ["'3'", "--learner.order", "'1', '2'"]),
    ([*NAV, "--learner.inner-loss", "dise"], 2, ["'dise'", "dice"]),
    ([*NAV, "--policy.activation", "gelu"], 2, ["'gelu'", "tanh"]),
    ([*NAV, "--policy.hidden", "wide"], 2, ["--policy.hidden expects a whole number, got 'wide'"]),
    ([*NAV, "--policy.init-std", "nan"], 2, ["init_std is nan"]),
    (["train", "navigation-maml-v1", "promp", "--learner.meta-lr", "nan"], 2, ["meta_lr"]),
    (["train", "navigation-maml-v1", "promp", "--learner.meta-lr", "0"], 2, ["meta_lr is 0.0, must be above 0"]),
    (["train", "navigation-maml-v1", "promp", "--learner.clip-eps", "1e300"], 2, ["clip_eps is 1e+300", "3.4e38"]),
    (["train", "navigation-maml-v1", "promp", "--learner.meta-lr", "1e-300"], 2, ["meta_lr is 1e-300", "1.2e-38"]),
    ([*NAV, "--learner.inner.lr", "1e300"], 2, ["lr is 1e+300", "3.4e38"]),
    ([*NAV, "--learner.trust-region.max-kl", "1e300"], 2, ["max_kl is 1e+300", "3.4e38"]),
    ([*NAV, "--policy.min-std", "1e-300", "--policy.init-std", "1e-300"], 2, ["min_std is 1e-300", "1e-15 or more"]),
    ([*RL2, "--learner.entropy-coef", "1e300"], 2, ["entropy_coef is 1e+300", "3.4e38"]),
    (["train", "navigation-maml-v1", "fomaml", "--learner.order", "2"], 2, ["order 1", "choose maml"]),
    (["train", "navigation-maml-v1", "promp", "--learner.order", "1"], 2, ["'--learner.order'"]),
    ([*RL2, "--learner.episodes", "0"], 2, ["episodes is 0", "1 or more"]),
    ([*RL2, "--learner.bptt-steps", "-1"], 2, ["bptt_steps is -1", "0 or more"]),
    ([*RL2, "--learner.inner.lr", "0.1"], 2, ["'--learner.inner.lr'"]),
    ([*NAV, "--policy.kind", "gru"], 2, ["'--policy.kind'"]),
    ([*NAV, "--learner.episodes", "2"], 2, ["'--learner.episodes'"]),
    ([*RL2, "--policy.kind", "transformer", "--policy.context", "10"], 2, ["context of 10", "fewer episodes"]),
    ([*RL2, "--policy.head", "film"], 2, ["'film'", "--policy.head", "linear", "hypernetwork"]),
    ([*RL2, "--policy.head-hidden", "-1"], 2, ["head_hidden is -1", "0 or more"]),
    ([*RL2, "--policy.head", "hypernetwork", "--policy.head-hidden", "9" * 20], 6, ["GB of memory"]),
    ([*NAV, "--meta-iters", "0"], 2, ["meta_iters is 0", "1 or more"]),
    ([*NAV, "--tasks", "0"], 2, ["num_tasks is 0"]),
    ([*NAV, "--episodes", "-4"], 2, ["copies is -4"]),
    ([*NAV, "--episodes", "9" * 20], 6, ["20 tasks x 99999999999999999999 episodes", "GB of memory"]),
    ([*NAV, "--validation-tasks", "9" * 20], 6, ["99999999999999999999 tasks", "GB of memory"]),
    ([*NAV, "--policy.hidden", "9" * 20], 6, ["hidden=(99999999999999999999,)", "GB of memory"]),
    ([*NAV, "--max-seconds", "nan"], 2, ["max_seconds is nan"]),
    ([*NAV, "--max-seconds", "-1"], 2, ["max_seconds is -1"]),
    ([*NAV, "--patience", "-1"], 2, ["patience is -1"]),
    ([*NAV, "--threads", "-1"], 2, ["--threads is -1"]),
    ([*NAV, *TINY, "--json", "run"], 2, ["--json run is a directory"]),
    ([*NAV, *TINY, "--json", "-"], 2, ["--json - is not a plain file"]),
    ([*NAV, *TINY, "--json", "link"], 2, ["--json link is not a plain file"]),
    (["list", "--json", "pipe"], 2, ["--json pipe is not a plain file"]),
    ([*NAV, *TINY, "--json", "nowhere/x.json"], 2, ["--json nowhere/x.json", "nowhere; make it first"]),
    ([*NAV, *TINY, "--out", "file"], 2, ["file is a file", "--out"]),
    ([*NAV, *TINY, "--out", "file/below"], 6, ["file/below"]),
    ([*NAV, *TINY, "--out", "run"], 2, ["run already holds", "--resume"]),
    ([*NAV, *TINY, "--out", "foreign"], 2, ["foreign is not empty; choose another --out"]),
    (["train", "--resume"], 2, ["--resume needs the directory"]),
    (["train", "--resume", "nowhere"], 2, ["nowhere is not a run directory"]),
    (["train", "--resume", "foreign"], 2, ["foreign is not a run directory"]),
    (["train", "--resume", "file"], 2, ["file"]),
    (["train", "--resume", "run", "--tasks", "3"], 2, ["num_tasks cannot change"]),
    (["train", "--resume", "run", "--learner.inner.lr", "1"], 2, ["'--learner.inner.lr'"]),
    (["train", "--resume", "run", "--meta-iters", "0"], 2, ["meta_iters is 0"]),
    (["train", "navigation-maml-v1", "promp", "--resume", "run"], 2, ["run is a run of navigation-maml-v1 maml"]),
    (["test"], 2, ["RUN is missing"]),
    (["test", "nowhere"], 2, ["nowhere is not a run directory"]),
    (["test", "file"], 2, ["file"]),
    (["test", "run", "--adapt-steps", "-1"], 2, ["adapt_steps"]),
    (["test", "run", "--tasks", "9" * 20], 6, ["GB of memory"]),
    (["test", "run/config.json"], 2, ["run/config.json is not a run directory"]),
    (["test", "run", "--tasks", "0"], 2, ["tasks"]),
    (["test", "run", "--split", "tset"], 2, ["'tset'", "test"]),
    (["test", "run", "--adapt-step", "1"], 2, ["'--adapt-step'", "Did you mean '--adapt-steps'"]),
    (["report"], 2, ["RUN is missing"]),
    (["report", "nowhere"], 2, ["nowhere is not a run directory"]),
    (["report", "run", "--flim"], 2, ["'--flim'", "Did you mean '--film'"]),
    (["check", "navigation-maml-v1", "--steps", "9" * 20], 2, ["--steps is 1e+20", "100,000 or less"]),
    (["check", "navigation-maml-v1", "--tasks", "9" * 20], 2, ["--tasks is 1e+20", "1,000 or less"]),
    (["check", "navigation-maml-v1", "--timeout", "1e300"], 2, ["--timeout is 1e+300", "86,400 or less"]),
    (["reproduce", "navigation-maml", "--seeds", "9" * 20], 2, ["--seeds is 99999999999999999999", "1,000 or less"]),
    (["demo", "--meta-iters", "0"], 2, ["meta_iters is 0"]),
    (["demo", "--out", "file"], 2, ["file"]),
    (["demo", "--out", "foreign"], 2, ["foreign"]),
]


def edit_config(**changes: object) -> Prepare:
    def edit(run: Path) -> None:
        config = json.loads((run / "config.json").read_text())
        (run / "config.json").write_text(json.dumps(config | changes))

    return edit


def cut(name: str) -> Prepare:
    def halve(run: Path) -> None:
        path = run.parent / CHECKPOINT / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return halve


def flip_a_bit(run: Path) -> None:
    path = run.parent / CHECKPOINT / "state.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def replace_by_pickle(run: Path) -> None:
    (run.parent / CHECKPOINT / "state.safetensors").write_bytes(b"\x80\x04\x95cos\nsystem\n")


def remove_checkpoints(run: Path) -> None:
    for path in sorted(run.glob("checkpoints/**/*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def cut_config(run: Path) -> None:
    (run / "config.json").write_text((run / "config.json").read_text()[:40])


def repeat_a_key(run: Path) -> None:
    text = (run / "config.json").read_text()
    (run / "config.json").write_text(text.replace('"seed": 0', '"seed": 1, "seed": 0'))


BROKEN_RUNS: dict[str, tuple[Prepare, int, str]] = {  # what happened to the run, exit code, words of the message
    "half-written tensors": (cut("state.safetensors"), 4, "damaged"),
    "half-written facts": (cut("facts.json"), 4, "damaged"),
    "half-written manifest": (cut("manifest.json"), 4, "damaged"),
    "one flipped bit": (flip_a_bit, 4, "damaged"),
    "code in place of tensors": (replace_by_pickle, 4, "damaged"),
    "checkpoint of another suite": (edit_config(suite="navigation-promp-corners-v1"), 4, "navigation-maml-v1"),
    "checkpoint of another shape": (edit_config(policy={"hidden": [5]}), 4, "belongs to something else"),
    "checkpoint of another learner": (
        edit_config(learner="fomaml", learner_config={"order": 1}),
        4,
        "belongs to learner 'maml'",
    ),
    "half-written configuration": (cut_config, 2, "config.json cannot be read"),
    "unknown key": (edit_config(policy={"hiden": [4]}), 2, "Did you mean 'hidden'"),
    "wrong type": (edit_config(policy={"hidden": "4"}), 2, "hidden"),
    "text for a number": (edit_config(seed="1"), 2, "config.seed is '1', expected int"),
    "number for a name": (edit_config(suite=5), 2, "config.suite is 5, expected str"),
    "number for the learner": (edit_config(learner=5), 2, "unknown learner '5'"),
    "list for a table": (edit_config(policy=[]), 2, "config.policy is [], expected an object"),
    "key that is none": (edit_config(sed=3), 2, "Did you mean 'seed'"),
    "bottomless configuration": (lambda run: (run / "config.json").write_text("[" * 100_000), 2, "cannot be read"),
    "a key twice": (repeat_a_key, 2, "a key occurs twice"),
    "list for the tasks": (edit_config(tasks=[]), 2, "'tasks' should be an object, found []"),
    "number for a fact of the tasks": (edit_config(tasks={"horizon": 100}), 2, "'horizon' should be a text, found 100"),
    "list for the versions": (edit_config(versions=[]), 2, "'versions' should be an object, found []"),
    "no number": (edit_config(seed=float("nan")), 2, "NaN is not JSON"),
    "suite that is gone": (edit_config(suite="navigation-v0"), 2, "unknown suite 'navigation-v0'"),
}


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "directory"
        for path in folder.rglob("*")
    }


def check_refusal(words: list[str], code: int, parts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(Path.cwd())
    capsys.readouterr()
    assert main(words) == code
    err = capsys.readouterr().err
    assert err.startswith("drml: error: ") and err.count("\n") == 1 and err.endswith("\n"), err
    assert len(err) < 400 and "Traceback" not in err
    assert all(part in err for part in parts), err
    assert contents(Path.cwd()) == before
    assert code in EXIT_CODES


@pytest.mark.parametrize(
    ("words", "code", "parts"), MISTAKES, ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else ""
)
def test_mistake(words: list[str], code: int, parts: list[str], run: Path, capsys: pytest.CaptureFixture[str]):
    (run.parent / "file").write_text("mine")
    (run.parent / "foreign").mkdir()
    (run.parent / "foreign" / "notes.txt").write_text("mine")
    (run.parent / "link").symlink_to("file")
    os.mkfifo(run.parent / "pipe")
    check_refusal(words, code, parts, capsys)


@pytest.mark.parametrize("command", [["test", "run"], ["train", "--resume", "run", "--meta-iters", "2"]], ids=" ".join)
@pytest.mark.parametrize("broken", BROKEN_RUNS)
def test_broken_run(broken: str, command: list[str], run: Path, capsys: pytest.CaptureFixture[str]):
    prepare, code, part = BROKEN_RUNS[broken]
    prepare(run)
    check_refusal(command, code, [part], capsys)


def test_run_without_checkpoint_cannot_be_tested(run: Path, capsys: pytest.CaptureFixture[str]):
    remove_checkpoints(run)
    check_refusal(["test", "run"], 4, ["no checkpoint", "--resume run"], capsys)


@pytest.mark.parametrize(
    "words", [["train", "--resume", "run", "--meta-iters", "2"], ["demo", "--out", "run"]], ids=" ".join
)
def test_run_in_use(words: list[str], run: Path, capsys: pytest.CaptureFixture[str]):
    with lock(run):
        check_refusal(words, 2, ["run is in use by process"], capsys)


def test_missing_mujoco(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    for module in ("robot_env", "simulation"):
        monkeypatch.delitem(sys.modules, f"drml.envs.mujoco.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "mujoco", None)
    words = ["train", "half-cheetah-dir-promp-v1", "promp", *TINY]
    check_refusal(words, 2, ["MuJoCo", 'pip install "drml[mujoco]"'], capsys)


@pytest.mark.parametrize("package", ["matplotlib", "PIL"])
@pytest.mark.parametrize("words", [["report", "run"], ["demo"]], ids=" ".join)
def test_missing_report_packages(
    words: list[str], package: str, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, package, None)
    check_refusal(words, 2, [package, 'pip install "drml[report]"'], capsys)


def test_a_broken_package_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)

    def broken(name: str) -> object:
        raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr("drml.cli.main.importlib.import_module", broken)
    check_refusal(["list"], 2, ["libGL.so.1", "pip install"], capsys)


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]):
    assert main(["train", "navigation", "maml", "--debug"]) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err and err.splitlines()[-1].startswith("drml: error: unknown suite 'navigation'")


def test_defects_keep_their_traceback(monkeypatch: pytest.MonkeyPatch):
    def broken(name: str) -> object:
        raise RuntimeError("a defect")

    monkeypatch.setattr("drml.cli.main.importlib.import_module", broken)
    with pytest.raises(RuntimeError, match="a defect"):
        main(["list"])


def test_memory_that_runs_out_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)

    def greedy(name: str) -> object:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4e18 bytes")

    monkeypatch.setattr("drml.cli.main.importlib.import_module", greedy)
    check_refusal(["list"], 6, ["out of memory", "--num-tasks"], capsys)


def test_a_resume_with_a_damaged_log_keeps_its_configuration(run: Path, capsys: pytest.CaptureFixture[str]):
    (run / "metrics.jsonl").write_text("no row\n" + (run / "metrics.jsonl").read_text())
    check_refusal(["train", "--resume", "run", "--meta-iters", "9"], 4, ["metrics.jsonl, line 1"], capsys)


def test_a_report_that_is_refused_has_drawn_nothing(run: Path, capsys: pytest.CaptureFixture[str]):
    gone = [{"task": "a", "step": 0, "file": "films/gone.webp", "return": 1.0}]
    (run / "films.json").write_text(json.dumps(gone))
    check_refusal(["report", "run"], 2, ["films/gone.webp cannot be read"], capsys)
    (run / "films.json").unlink()
    (run / "test.json").write_text("[]")
    check_refusal(["report", "run", "--film"], 2, ["test.json"], capsys)


@pytest.mark.parametrize("page", ["gallery", "foreign", "file.md/x.md", "file.d"])
def test_a_gallery_that_has_no_place_is_refused_before_it_is_drawn(
    page: str, run: Path, capsys: pytest.CaptureFixture[str]
):
    (run.parent / "foreign").mkdir()
    (run.parent / "file").write_text("mine")
    (run.parent / "file.md").write_text("mine")
    check_refusal(["gallery", "--out", page], 2, [f"--out {page}"], capsys)


def test_a_demo_that_is_refused_leaves_the_older_one_where_it_was(run: Path, capsys: pytest.CaptureFixture[str]):
    (run / "summary.json").write_text("{}")
    check_refusal(["demo", "--out", "run", "--episodes", "9" * 20], 6, ["GB of memory"], capsys)


def test_a_recipe_whose_later_seed_is_another_run_trains_no_earlier_one(run: Path, capsys: pytest.CaptureFixture[str]):
    run.parent.joinpath("recipes").mkdir()
    run.rename("recipes/navigation-maml-seed2")
    check_refusal(["reproduce", "navigation-maml", "--runs", "recipes"], 2, ["trained with other settings"], capsys)
