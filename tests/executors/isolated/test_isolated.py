"""Processes of tasks: the same numbers as without them, and faults that concern no task but their own."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import ActionSpec, EnvSpec, Step, Tasks
from drml.envs.api import EnvOptions, Isolation, Suite
from drml.executors.isolated import wire
from drml.executors.isolated.env import isolated
from drml.suites.registry import suite
from drml.tasks.distribution import TaskDistribution, content_hashes
from drml.tasks.parameter import Choice
from drml.tasks.samplers.uniform import UniformSampler

HERE = Path(__file__).parent
COPIES, STEPS = 3, 14
BAD = 2  # the row of the task that fails
TIMEOUT = 2.0
RNG = Streams(5)["env"]
BOUNDS = Isolation(True, TIMEOUT, 0.25)
DATA = ("obs", "reward", "terminated", "truncated", "diverged", "final_obs", "idle", "success")


def play(env, tasks, steps=STEPS, rng=RNG, close=True):
    """Return the first observations, all steps, and the longest time that a call took."""
    start = time.monotonic()
    obs = env.reset(tasks, COPIES, rng)
    calls = [time.monotonic() - start]
    played = []
    for t in range(steps):
        action = rng["action", t].normal((len(tasks), COPIES, env.spec.action.size))
        start = time.monotonic()
        step = env.step(action)
        calls.append(time.monotonic() - start)
        played.append(SimpleNamespace(**vars(step), faults=env.take_faults()))
    if close:
        env.close()
    return obs.clone(), played, max(calls[1:])


def same(played, others, rows):
    return all(
        torch.equal(getattr(a, name)[rows], getattr(b, name).expand_as(getattr(a, name))[rows])
        for a, b in zip(played, others, strict=True)
        for name in DATA
        if not (name == "success" and a.success is b.success is None)
    )


def test_a_healthy_environment_gives_the_same_bits_in_processes_of_their_own(zoo):
    chosen = suite("fault_zoo:fine")
    tasks = chosen.tasks.all_tasks()
    here, there = chosen.make(EnvOptions()), isolated(chosen, BOUNDS)
    for round_ in range(2):  # again, with the tasks in another order: processes are used again
        rng = Streams(5)["env", round_]
        first, steps, _ = play(here, tasks, rng=rng, close=False)
        first_there, steps_there, _ = play(there, tasks, rng=rng, close=False)
        assert torch.equal(first, first_there)
        assert same(steps, steps_there, slice(None))
        assert sum(int(step.terminated.sum()) for step in steps) > 3  # episodes of different lengths
        tasks = chosen.tasks.all_tasks().select(torch.tensor([3, 0, 7]))
    there.close()
    assert zoo.left() == []


def test_success_travels_and_what_fails_has_none(zoo):
    chosen = suite("fault_zoo:says")
    tasks = chosen.tasks.all_tasks()
    here, there = chosen.make(EnvOptions()), isolated(chosen, BOUNDS)
    rng = Streams(5)["env"]
    first, steps, _ = play(here, tasks, rng=rng)
    first_there, steps_there, _ = play(there, tasks, rng=rng)
    assert torch.equal(first, first_there) and same(steps, steps_there, slice(None))
    for step in steps[:3]:  # before the task that fails has done so
        assert step.success[BAD].all()
        assert torch.equal(step.success[3:], step.reward[3:].abs() < 1.0)  # the reward is minus the distance
    assert not any(step.success[BAD].any() for step in steps[3:] if step.success is not None)
    assert any(step.success[:2].any() for step in steps)
    silent = isolated(chosen, BOUNDS)
    far = play(silent, tasks.select(torch.tensor([7])), steps=1, rng=rng)[1]  # 7 away: nothing is said
    assert [step.success for step in far] == [None]
    assert zoo.left() == []


def test_an_environment_that_leaves_while_it_is_made_is_a_fault():
    def leave(options):
        sys.exit(0)

    env = isolated(replace(suite("navigation-maml-v1"), name="leaving", make=leave), BOUNDS)
    env.reset(UniformSampler().sample({}, suite("navigation-maml-v1").tasks, "train", 1, RNG), COPIES, RNG)
    assert [fault.message for fault in env.take_faults()] == ["SystemExit: 0"]


@pytest.mark.parametrize("name", ["navigation-maml-v1", "bandit-bernoulli-k5-n10-v1"])
def test_our_own_environments_can_be_isolated_too(name):
    chosen = suite(name)
    rng = Streams(1)
    tasks = UniformSampler().sample({}, chosen.tasks, "train", 2, rng)
    here, there = chosen.make(EnvOptions()), isolated(chosen, BOUNDS)
    assert torch.equal(here.reset(tasks, COPIES, rng), there.reset(tasks, COPIES, rng))
    for t in range(3):
        discrete = chosen.spec.action.kind == "discrete"
        action = torch.full((2, COPIES), t) if discrete else rng[t].normal((2, COPIES, chosen.spec.action.size))
        a, b = here.step(action), there.step(action)
        assert torch.equal(a.obs, b.obs) and torch.equal(a.reward, b.reward)
    there.close()


ALWAYS = [("raise", "step"), ("loop", "step"), ("segfault", "reset"), ("stop", "construct"), ("bomb", "step")]
KINDS = ("raise", "exit", "kill", "stop", "loop", "segfault", "bomb")
REPORTED = {
    "raise": ("raised", "KeyError: 'planted' (tests/executors/isolated/zoo/fault_zoo.py:"),
    "exit": ("died", "it left with exit code 7"),
    "kill": ("died", "killed by SIGKILL"),
    "stop": ("hung", "no answer within 2 s"),
    "loop": ("hung", "no answer within 2 s"),
    "segfault": ("died", "killed by SIGSEGV"),
    "bomb": ("out of memory", "MemoryError"),
}


@pytest.mark.parametrize(
    ("kind", "moment"),
    [
        pytest.param(kind, moment, marks=() if (kind, moment) in ALWAYS else pytest.mark.slow)
        for kind in KINDS
        for moment in ("construct", "reset", "step")
    ],
)
def test_a_fault_takes_its_own_task_down_and_no_other(kind, moment, zoo):
    healthy = suite("fault_zoo:fine")
    tasks = healthy.tasks.all_tasks()
    first, steps, _ = play(healthy.make(EnvOptions()), tasks)
    env = isolated(suite(f"fault_zoo:{kind}_{moment}"), BOUNDS)
    began = time.monotonic()
    env.reset(tasks.select(torch.tensor([0, 1])), COPIES, Streams(0))  # the fork server is up, and two processes
    start_seconds = time.monotonic() - began
    began = time.monotonic()
    found, played, slowest = play(env, tasks)
    reset_seconds = time.monotonic() - began
    others = [k for k in range(8) if k != BAD]
    assert torch.equal(found[others], first[others])
    assert same(played, steps, others)
    assert [len(step.faults) for step in played].count(1) == 1 and sum(len(step.faults) for step in played) == 1
    t, fault = next((t, step.faults[0]) for t, step in enumerate(played) if step.faults)
    told_kind, told = REPORTED[kind]
    assert (fault.kind, fault.moment, fault.row) == (told_kind, moment, BAD)
    assert fault.message.startswith(told)
    assert (fault.task, fault.params) == (content_hashes(tasks)[BAD], {"goal": 2.0})
    assert (fault.copy >= 0) == (moment != "construct" or told_kind not in ("raised", "out of memory"))
    if moment == "step":  # a copy that has not ended before by itself fails at step 3
        assert (fault.step, len(fault.action)) == (3, 2)
    if moment != "construct":
        assert fault.seed >= 0
    down = torch.stack([step.diverged[BAD] for step in played])
    assert down[t:].all() and not down[:t].any()  # until the next reset
    assert same(played[:t], steps[:t], slice(None)) or moment != "step"
    # of the whole game no call takes longer than the deadline and two seconds, whatever hangs
    assert slowest < TIMEOUT + 2.0
    assert reset_seconds < TIMEOUT + 2.0 + 8 * max(start_seconds, 0.5)
    assert zoo.left() == []


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=() if k in ("loop", "raise") else pytest.mark.slow) for k in KINDS]
)
def test_a_fault_in_close_is_that_of_the_task_before(kind, zoo):
    healthy = suite("fault_zoo:fine")
    tasks = healthy.tasks.all_tasks()
    env = isolated(suite(f"fault_zoo:{kind}_close"), BOUNDS)
    play(env, tasks.select(torch.tensor([BAD])), close=False)
    after = tasks.select(torch.tensor([5]))
    found, played, _ = play(env, after)  # the one process has to give task 2 up
    first, steps, _ = play(healthy.make(EnvOptions()), after)
    assert torch.equal(found, first) and same(played, steps, slice(None))
    faults = [fault for step in played for fault in step.faults]
    assert [(f.kind, f.moment, f.row, f.params) for f in faults] == [(REPORTED[kind][0], "close", -1, {"goal": 2.0})]
    assert faults[0].task == content_hashes(tasks)[BAD]
    assert zoo.left() == []


def test_a_fault_at_the_last_close_is_cut_off_and_a_warning(zoo, caplog):
    chosen = suite("fault_zoo:loop_close")
    env = isolated(chosen, BOUNDS)
    env.reset(chosen.tasks.all_tasks(), COPIES, Streams(0))
    start = time.monotonic()
    env.close()
    assert time.monotonic() - start < TIMEOUT + 2.0
    assert [record.getMessage() for record in caplog.records] == [
        "task goal=2: hung in close, copy 0 (no answer within 2 s)"
    ]
    assert zoo.left() == []


def test_a_task_that_failed_is_tried_again_at_the_next_reset(zoo):
    chosen = suite("fault_zoo:exit_step")
    tasks = chosen.tasks.all_tasks().select(torch.tensor([1, 2]))
    env = isolated(chosen, BOUNDS)
    for _ in range(2):
        played = play(env, tasks, close=False)[1]
        assert [step.faults[0].kind for step in played if step.faults] == ["died"]
    env.close()


def test_what_an_environment_has_started_goes_with_it(zoo):
    chosen = suite("fault_zoo:grandchild")
    env = isolated(chosen, BOUNDS)
    played = play(env, chosen.tasks.all_tasks().select(torch.tensor([BAD])))[1]
    assert [f.kind for step in played for f in step.faults] == ["hung"]
    assert zoo.left() == []


@pytest.mark.parametrize("end", ["exit", "kill", "loop", "backtrack"])
def test_what_has_moved_to_a_session_of_its_own_goes_with_it_too(end, zoo):
    chosen = suite(f"fault_zoo:session_{end}")
    env = isolated(chosen, replace(BOUNDS, timeout=20.0 if end in ("exit", "kill") else 8.0))
    played = play(env, chosen.tasks.all_tasks().select(torch.tensor([BAD])))[1]
    kind, message = REPORTED.get(end, ("hung", "no answer within 8 s"))
    message = "no answer within 8 s" if kind == "hung" else message
    assert [(f.kind, f.message) for step in played for f in step.faults] == [(kind, message)]
    assert len(zoo.marks()) >= 3 and zoo.left() == []


def test_vector_environments_in_processes_of_their_own_can_be_isolated(zoo):
    chosen = suite("fault_zoo:async_fine")
    tasks = chosen.tasks.all_tasks().select(torch.tensor([0, BAD]))
    here, there = chosen.make(EnvOptions()), isolated(chosen, BOUNDS)
    first, steps, _ = play(here, tasks)
    first_there, steps_there, _ = play(there, tasks)
    assert torch.equal(first, first_there) and same(steps, steps_there, slice(None))
    assert not any(step.faults for step in steps_there)
    assert zoo.left() == []


def test_what_an_environment_terminates_ends(zoo):
    chosen = suite("fault_zoo:terminates")
    played = play(isolated(chosen, BOUNDS), chosen.tasks.all_tasks().select(torch.tensor([0])))[1]
    assert not any(step.faults for step in played)


def test_a_vector_environment_that_hangs_goes_with_its_processes(zoo):
    chosen = suite("fault_zoo:async_loop_step")
    played = play(isolated(chosen, BOUNDS), chosen.tasks.all_tasks().select(torch.tensor([0, BAD])))[1]
    assert [f.kind for step in played for f in step.faults] == ["hung"]
    assert zoo.left() == []


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (signal.SIGKILL, "loop"),
        (signal.SIGTERM, "stop"),
        (signal.SIGKILL, "async_loop"),
        (signal.SIGKILL, "backtrack"),
        (signal.SIGKILL, "session_backtrack"),
    ],
)
def test_no_process_outlives_the_run_however_it_ends(number, kind, zoo):
    words = (
        "import torch\n"
        "from drml.core.rng import Streams\n"
        "from drml.envs.api import Isolation\n"
        "from drml.executors.isolated.env import isolated\n"
        "from drml.suites.registry import suite\n"
        "if __name__ == '__main__':\n"
        f"    chosen = suite('fault_zoo:{kind}_step')\n"
        "    env = isolated(chosen, Isolation(True, 600.0))\n"
        "    env.reset(chosen.tasks.all_tasks(), 2, Streams(0))\n"
        "    for _ in range(9): env.step(torch.zeros(8, 2, 2))\n"
    )
    inherited = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE / "zoo"), *sys.path])}
    with subprocess.Popen([sys.executable, "-c", words], env=inherited, cwd=HERE) as run:
        deadline = time.monotonic() + 120.0
        while len(zoo.alive()) < 9:  # the run, and a process for each task
            assert time.monotonic() < deadline and run.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)  # time for one of them to reach the step that never returns
        run.send_signal(number)
    assert zoo.left() == []


def test_an_environment_that_cannot_be_sent_is_refused():
    spec = EnvSpec(1, ActionSpec("discrete", 2), 5)
    chosen = Suite("mine", "", "", TaskDistribution({"x": Choice((0.0, 1.0))}, held_out=False), spec, _Unpicklable())
    with pytest.raises(InputError, match="mine cannot be sent to a process of its own"):
        isolated(chosen, BOUNDS)


class _Unpicklable:
    def __call__(self, options):
        raise AssertionError

    def __reduce__(self):
        raise TypeError("no")


def test_refusals(zoo):
    with pytest.raises(InputError, match=r"timeout is 0\.0, must be above 0"):
        Isolation(True, 0.0)
    chosen = suite("fault_zoo:fine")
    env = isolated(chosen, BOUNDS)
    with pytest.raises(InputError, match="step was called before reset"):
        env.step(torch.zeros(8, COPIES, 2))
    env.reset(chosen.tasks.all_tasks(), COPIES, Streams(0))
    with pytest.raises(InputError, match=r"action has shape \[8, 3\], expected \[8, 3, 2\]"):
        env.step(torch.zeros(8, COPIES))
    goals = chosen.tasks.all_tasks().params["goal"]
    with pytest.raises(InputError, match=r"tasks have the parameters \['goals'\], expected \['goal'\]"):
        env.reset(Tasks({"goals": goals}, torch.arange(8)), COPIES, Streams(0))  # said by the process, raised here
    env.close()


def test_resets_survive_the_wire():
    params = {"a": torch.tensor([[0.1, 0.2]], dtype=torch.float64), "b": torch.tensor([3])}
    rng = Streams(7)["train", np.int64(3), "é"]
    found, copies, streams = wire.unpack_reset(wire.pack_reset(Tasks(params, torch.tensor([9])), 4, rng))
    assert (copies, found.ids.tolist()) == (4, [9])
    assert torch.equal(streams.normal((5,)), rng.normal((5,)))
    for name, value in params.items():
        assert torch.equal(found.params[name], value) and found.params[name].dtype == value.dtype


def test_every_field_of_a_step_travels():
    assert {field.name for field in fields(Step)} == set(DATA)


@pytest.mark.parametrize("isolate", [False, True])
@pytest.mark.parametrize(
    ("kind", "message"), [("exit", "it left with exit code 7"), ("kill", "killed by SIGKILL")], ids=["exit", "kill"]
)
def test_a_copy_in_a_process_that_dies_is_named(kind, message, isolate, zoo):
    chosen = suite(f"fault_zoo:async_{kind}_step")
    tasks = chosen.tasks.all_tasks().select(torch.tensor([0, BAD]))
    env = isolated(chosen, BOUNDS) if isolate else chosen.make(EnvOptions())
    played = play(env, tasks, close=False)[1]
    (fault,) = [fault for step in played for fault in step.faults]
    assert (fault.kind, fault.moment, fault.message) == ("died", "step", message)
    assert fault.copy in range(COPIES) and fault.row == 1
    env.reset(tasks, COPIES, RNG)  # builds the copies anew, and closes nothing that is no more
    assert env.take_faults() == ()
    env.close()
    assert zoo.left() == []


SCRIPT = """
import sys
from drml.core.rng import Streams
from drml.envs.api import Isolation
from drml.check.checks import check_tasks
from drml.executors.isolated.env import isolated
from drml.suites.registry import suite

print("the script runs")
chosen = suite("fault_zoo:fine")
env = isolated(chosen, Isolation(True))
print(tuple(env.reset(chosen.tasks.all_tasks(), 2, Streams(0)).shape), env.take_faults())
env.close()
print(check_tasks("fault_zoo:fine", 2, 20).num_faults)
"""


def test_a_script_without_a_main_guard_runs_once(tmp_path):
    """Neither do the processes of tasks run it again, nor does the one of the checker."""
    (tmp_path / "script.py").write_text(SCRIPT)
    inherited = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE / "zoo"), *sys.path])}
    inherited.pop("FAULT_ZOO", None)
    words = [sys.executable, str(tmp_path / "script.py")]
    answer = subprocess.run(words, env=inherited, capture_output=True, text=True, timeout=250, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == "the script runs\n(8, 2, 3) ()\n0\n"


def test_copies_wait_in_processes_of_their_own_as_they_do_here(zoo):
    chosen = suite("fault_zoo:fine")
    tasks = chosen.tasks.all_tasks()
    here, there = chosen.make(EnvOptions(one_episode=True)), isolated(chosen, BOUNDS, one_episode=True)
    (first, steps, _), (first_there, steps_there, _) = play(here, tasks), play(there, tasks)
    assert torch.equal(first, first_there) and same(steps, steps_there, slice(None))
    ended = torch.stack([step.terminated | step.truncated for step in steps])
    assert ended.sum(0).eq(1).all() and ended[:4].any() and not ended[:4].all(0).any()


A_JOB = """
import os, signal
from drml.core.descendants import descendants
from drml.core.errors import ResourceError
from drml.core.rng import Streams
from drml.core.signals import STOP_SIGNALS
from drml.envs.api import Isolation
from drml.executors.isolated.env import isolated
from drml.suites.registry import suite

chosen = suite("probe-goal-flip-v1")
tasks = chosen.tasks.all_tasks()
env = isolated(chosen, Isolation(True))
env.reset(tasks, 2, Streams(0))
before = set(descendants(os.getpid()))
for pid in before:
    for number in STOP_SIGNALS:
        os.kill(pid, number)
env.step(Streams(0)["action"].normal((2, 2, env.spec.action.size)))
env.reset(tasks, 3, Streams(1))
print(len(before), set(descendants(os.getpid())) == before, env.take_faults())

from multiprocessing import forkserver
os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)
try:
    isolated(chosen, Isolation(True)).reset(tasks, 2, Streams(0))
except ResourceError as error:
    print(error)
"""


def test_signals_to_a_whole_job_end_no_process_of_a_task_nor_the_one_that_starts_them():
    done = subprocess.run([sys.executable, "-c", A_JOB], capture_output=True, text=True, check=False, timeout=120)
    assert done.stderr == ""
    # two tasks with a guard each, the fork server, and the tracker that multiprocessing starts
    told, failure = done.stdout.splitlines()
    assert told == "6 True ()"
    assert failure.startswith("the process that starts those of tasks has been killed")
