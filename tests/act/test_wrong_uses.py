"""Wrong uses: each is one line that says what, where and how to go on, and leaves the agent as it was, to the bit."""

import os
from typing import NamedTuple

import numpy as np
import pytest
from gymnasium import spaces

import drml
from drml.core.errors import CheckpointError, DrmlError, InputError, NumericError, ResourceError
from drml.core.types import Agent

from .driving import BOX, meta_agent

OBSERVATIONS = {
    "plain": np.zeros(2, np.float32),
    "many": np.zeros((2, 3, 2), np.float32),
    "memory": np.zeros((2, 2), np.float32),
    "dict": {"a": np.zeros(2, np.float32), "b": 1},
    "bits": 1,
}
LEADS = {"plain": (), "many": (2, 3), "memory": (2,), "dict": (), "bits": ()}


def begun(kind):
    if kind == "memory":
        return meta_agent("rl2-gru").start(2)
    if kind == "dict":
        return meta_agent(observation_space=spaces.Dict(a=BOX, b=spaces.Discrete(3))).start()
    if kind == "bits":
        return meta_agent(observation_space=spaces.Discrete(4), action_space=spaces.Discrete(2)).start()
    return meta_agent().start(3, sessions=2) if kind == "many" else meta_agent().start()


def in_state(kind, state):
    """Return an agent that has just begun, has seen three steps, has acted since, or has adapted."""
    agent, lead = begun(kind), LEADS[kind]
    for _ in range(0 if state == "begun" else 3):
        agent.act(OBSERVATIONS[kind], explore=state != "watched")
        agent.observe(np.ones(lead), np.zeros(lead, bool), np.zeros(lead, bool))
    if state == "acted":
        agent.act(OBSERVATIONS[kind])
    if state == "adapted":
        agent.adapt()
    return agent


def trace(agent, kind, is_acted):
    """Return what the agent does next, to the bit: nine steps, and an adaptation that learns from all it has seen."""
    lead, found = LEADS[kind], []
    for t in range(9):
        if not (is_acted and t == 0):
            found.append(np.asarray(agent.act(OBSERVATIONS[kind])).tobytes())
        agent.observe(np.full(lead, 0.1 * t), np.zeros(lead, bool), np.full(lead, t % 3 == 2))
        if t == 5:
            agent.adapt()
    if agent.num_sessions == 1:
        found.append(agent.predict(OBSERVATIONS[kind])[0].tobytes())
    return [*found, agent.steps, agent.change()]


class Use(NamedTuple):
    kind: str
    state: str
    wrong: object
    says: str
    error: type = InputError


def acts(observation, kind="plain", state="seen", says="act: "):
    return Use(kind, state, lambda agent, _: agent.act(observation), says)


def observes(*given, says, kind="plain", **also):
    return Use(kind, "acted", lambda agent, _: agent.observe(*given, **also), says)


def calls(name, *given, says, kind="plain", state="seen", error=InputError):
    return Use(kind, state, lambda agent, _: getattr(agent, name)(*given), says, error)


NAN, INF = np.nan, np.inf
USES = {
    # act
    "one number too many": acts(np.zeros(3), says=r"act: no observation of Box.*\[3\]"),
    "one number too few": acts([0.0], says=r"act: no observation of Box.*\[1\]"),
    "a number": acts(0.5, says=r"act: no observation of Box.*\[\]"),
    "two at once for one copy": acts(np.zeros((2, 2)), says=r"leading axes \[2\].*expected .*\[1\].* for 1 copy"),
    "three axes too many": acts(np.zeros((1, 1, 1, 2)), says=r"leading axes \[1, 1, 1\]"),
    "no observation at all": acts(np.zeros((0, 2)), says=r"leading axes \[0\]"),
    "one for six": acts(np.zeros(2), "many", says=r"leading axes \[\].*expected \[2, 3\] for 3 copies in each of 2"),
    "axes exchanged": acts(np.zeros((3, 2, 2)), "many", says=r"leading axes \[3, 2\]"),
    "None": acts(None, says="act: no observation of Box"),
    "a text": acts("left", says="act: no observation of Box"),
    "texts": acts(["a", "b"], says="act: no observation of Box"),
    "a ragged list": acts([[0.0], [0.0, 1.0]], says="act: no observation of Box"),
    "complex numbers": acts(np.zeros(2, complex), says="act: no observation of Box.*complex"),
    "a dictionary for a vector": acts({"a": 1}, says="act: no observation of Box"),
    "NaN": acts(np.array([0.0, NAN]), says="act: the observation is not finite"),
    "an infinity": acts(np.array([0.0, -INF]), says="act: the observation is not finite"),
    "infinities that cancel": acts(np.array([INF, -INF]), says="act: the observation is not finite"),
    "beyond float32": acts(np.array([0.0, 1e300]), says="act: the observation is not finite"),
    "a key that is missing": acts({"a": np.zeros(2)}, "dict", says=r"\['b'\]: it is missing"),
    "the first key missing": acts({"b": 1}, "dict", says="act: no observation of Dict"),
    "a vector for a dictionary": acts(np.zeros(2), "dict", says="act: no observation of Dict"),
    "a part of another shape": acts({"a": np.zeros(3), "b": 1}, "dict", says="act: no observation of Dict"),
    "a part out of its range": acts({"a": np.zeros(2), "b": 3}, "dict", says=r"\['b'\].*expected 0 to 2"),
    "a part that is NaN": acts({"a": np.array([NAN, 0]), "b": 1}, "dict", says="act: the observation is not finite"),
    "a state that is not there": acts(4, "bits", says="act: no observation of Discrete.*expected 0 to 3"),
    "half a state": acts(0.5, "bits", says="act: no observation of Discrete"),
    "acting twice with a memory": Use("memory", "acted", lambda a, _: a.act(np.zeros((2, 2))), "observe"),
    # observe
    "observing before acting": calls("observe", 1.0, False, False, says="call act", state="begun"),
    "observing twice": calls("observe", 1.0, False, False, says="call act"),
    "a reward that is NaN": observes(NAN, False, False, says="reward is nan, expected a finite number"),
    "a reward that is infinite": observes(INF, False, False, says="reward is inf"),
    "a reward beyond float32": observes(1e39, False, False, says="reward is 1e\\+39"),
    "a reward of None": observes(None, False, False, says="reward is None"),
    "a reward of text": observes("1", False, False, says="reward is 1"),
    "a complex reward": observes(1j, False, False, says="reward is 1j"),
    "two rewards for one": observes([1.0, 1.0], False, False, says=r"reward has shape \[2\], expected \[\]"),
    "a ragged reward": observes([[1.0], 1.0], False, False, says="reward is"),
    "one reward for six": observes(1.0, False, False, kind="many", says=r"reward has shape \[\], expected \[2, 3\]"),
    "one NaN of six": observes(
        [[0, 0, NAN], [0, 0, 0]], np.zeros((2, 3), bool), np.zeros((2, 3), bool), kind="many", says="reward is"
    ),
    "terminated by a half": observes(1.0, 0.5, False, says="terminated is 0.5, expected True or False"),
    "terminated by a text": observes(1.0, "no", False, says="terminated is no"),
    "truncated of None": observes(1.0, False, None, says="truncated is None"),
    "truncated of another shape": observes(1.0, False, [False], says=r"truncated has shape \[1\]"),
    "truncated by 2": observes(1.0, False, 2, says="truncated is 2"),
    "a last observation too long": observes(1.0, False, True, np.zeros(3), says="observe: no observation of Box"),
    "a last observation of NaN": observes(1.0, False, True, [NAN, 0.0], says="observe: the observation is not finite"),
    "last observations of two": observes(1.0, False, True, np.zeros((1, 2)), says=r"final_obs has the leading axes"),
    "last observations of few": observes(
        np.zeros((2, 3)), np.zeros((2, 3), bool), np.ones((2, 3), bool), np.array([None, None], object), kind="many",
        says="final_obs",
    ),
    "a last observation of another shape": observes(
        np.zeros(2), np.zeros(2, bool), np.ones(2, bool), np.array([None, np.zeros(3)], object), kind="memory",
        says="observe: no observation of Box",
    ),
    # adapt, change, take_back
    "adapting without data": calls("adapt", says="adapt: .*act.*observe", state="begun"),
    "adapting on what was not explored": calls("adapt", says="adapt: .*explore=True", state="watched"),
    "adapting twice": calls("adapt", says="adapt: .*act.*observe", state="adapted"),
    "adapting an unknown session": calls("adapt", [2], kind="many", says="no session 2, they are numbered from 0 to 1"),
    "adapting a session below 0": calls("adapt", [-1], says="no session -1"),
    "adapting half a session": calls("adapt", [0.5], says=r"sessions is \[0.5\], expected a list of whole numbers"),
    "adapting a named session": calls("adapt", ["first"], says=r"sessions is \['first'\], expected a list of whole"),
    "adapting a number": calls("adapt", 1, says="sessions is 1, expected a list"),
    "the change of an unknown session": calls("change", 3, says="no session 3"),
    "taking back what was not done": calls("take_back", says="take_back: session 0 has no adaptation step"),
    "taking back an unknown session": calls("take_back", [7], says="no session 7", state="adapted"),
    # predict
    "predicting of another shape": calls("predict", np.zeros(3), says="predict: no observation of Box"),
    "predicting of NaN": calls("predict", np.array([NAN, 0]), says="predict: the observation is not finite"),
    "predicting with two axes": calls("predict", np.zeros((2, 2, 2)), says=r"predict: .*leading axes \[2, 2\]"),
    "predicting for none": calls("predict", np.zeros((0, 2)), says="predict: .*at least one"),
    "predicting with many sessions": calls("predict", np.zeros(2), kind="many", says="predict: .*2 sessions"),
    "predicting for more than remember": calls(
        "predict", np.zeros((5, 2)), kind="memory", says="predict: the memory is of 2 copies, the observations are of 5"
    ),
    "a state that is a number": calls("predict", np.zeros((2, 2)), 5, kind="memory", says="predict: the state is not"),
    "an empty state": calls("predict", np.zeros((2, 2)), (), kind="memory", says="predict: the state is not of"),
    "a state of texts": calls("predict", np.zeros((2, 2)), ("a", "b"), kind="memory", says="predict: the state"),
    "a state of others": calls(
        "predict", np.zeros((2, 2)), (np.zeros((3, 8)), np.zeros((3, 2))), kind="memory", says="predict: the state"
    ),
    "a state of NaN": calls(
        "predict", np.zeros((2, 2)), (np.full((2, 8), NAN, np.float32), np.zeros((2, 2), np.float32)), kind="memory",
        says="predict: the state",
    ),
    "starts of others": calls(
        "predict", np.zeros((2, 2)), None, [True, False, True], kind="memory", says="predict: episode_start"
    ),
    "a start of text": calls("predict", np.zeros(2), None, "now", says="predict: episode_start"),
    # save
    "saving below a file": Use(
        "plain", "acted", lambda a, tmp: a.save(filled(tmp / "f") / "agent"), "cannot write .*agent: Not a",
        ResourceError,
    ),
    "saving over a file": Use("plain", "seen", lambda a, tmp: a.save(filled(tmp / "f")), "f is a file, expected a dir"),
    "saving over a link": Use("plain", "seen", lambda a, tmp: a.save(linked(tmp)), "is a link, expected a directory"),
    "saving among others": Use(
        "plain", "seen", lambda a, tmp: a.save(filled(tmp / "d" / "notes.txt").parent), "holds notes.txt.*choose"
    ),
    "saving into a run": Use(
        "plain", "seen", lambda a, tmp: a.save(filled(tmp / "r" / "config.json").parent), "belongs to a run; choose"
    ),
    "saving beside checkpoints": Use(
        "plain", "seen",
        lambda a, tmp: a.save(filled(tmp / "r" / "config.json").parent / "checkpoints" / "mine"), "belongs to a run",
    ),
    "saving where the system refuses": Use(
        "plain", "seen", lambda a, _: a.save("/proc/agent"), "cannot write /proc/agent: ", ResourceError
    ),
    "saving under no licence": Use("plain", "seen", lambda a, tmp: a.save(tmp / "x", ""), "save: license is ''"),
    "saving under two lines": Use("plain", "seen", lambda a, tmp: a.save(tmp / "x", "a\nb"), "save: license is"),
    "saving nowhere": Use("plain", "seen", lambda a, _: a.save(None), "save: the path is None, expected a text"),
    "saving at a null character": Use("plain", "seen", lambda a, tmp: a.save(f"{tmp}/a\0b"), "save: the path is "),
}  # fmt: skip


def filled(path):
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}")
    return path


def linked(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    return tmp_path / "link"


def check_line(told):
    assert isinstance(told.value, DrmlError)
    assert "\n" not in str(told.value) and 20 < len(str(told.value)) < 500


@pytest.mark.filterwarnings("ignore:invalid value encountered in reduce")
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # the package ignores it by itself, outside of tests
@pytest.mark.parametrize("name", USES)
def test_a_wrong_use_is_one_line_and_leaves_the_agent_as_it_was(name, tmp_path):
    use = USES[name]
    agent, other = in_state(use.kind, use.state), in_state(use.kind, use.state)
    files = sorted(tmp_path.rglob("*"))
    with pytest.raises(use.error, match=use.says) as told:
        use.wrong(agent, tmp_path)
    check_line(told)
    assert not [path for path in tmp_path.rglob("*.safetensors")], files
    is_acted = use.state == "acted"
    assert trace(agent, use.kind, is_acted) == trace(other, use.kind, is_acted)


def test_a_step_beyond_all_numbers_is_not_taken_and_what_was_seen_stays(monkeypatch):
    agent, other = in_state("plain", "seen"), in_state("plain", "seen")

    def diverged(agent, rollout, adapt_step, rng):
        return Agent({name: value[None] * np.nan for name, value in agent.params.items()}, stacked=True)

    with monkeypatch.context() as patch:
        patch.setattr(agent.learned.learner, "adapt", diverged)
        with pytest.raises(NumericError, match=r"adapt: the step is not taken, it leads to .*not finite") as told:
            agent.adapt()
    check_line(told)
    assert trace(agent, "plain", False) == trace(other, "plain", False)


STARTS = {
    "no copies": ({"num_copies": 0}, "start: num_copies is 0"),
    "half a copy": ({"num_copies": 1.5}, "start: num_copies is 1.5, expected a whole number"),
    "copies in words": ({"num_copies": "two"}, "start: num_copies is two"),
    "a seed of text": ({"seed": "a"}, "start: seed is a, expected a whole number"),
    "half a seed": ({"seed": 0.5}, "start: seed is 0.5"),
    "no session": ({"sessions": 0}, "start: .*sessions"),
    "an empty list": ({"sessions": []}, "start: .*sessions"),
    "one twice": ({"sessions": [1, 1]}, "start: sessions is .*different"),
    "one below 0": ({"sessions": [-1]}, "start: sessions is .*0 or more"),
    "one too large": ({"sessions": [2**63]}, "start: sessions is .*of 64 bits"),
    "half a session": ({"sessions": [0.5]}, "start: sessions is .*whole number"),
    "an array without a session": ({"sessions": np.array([], int)}, "start: .*sessions"),
    "half sessions": ({"sessions": 2.5}, "start: sessions is 2.5"),
    "named sessions": ({"sessions": ["a"]}, "start: sessions is .*whole number"),
    "another reset": ({"autoreset": "never"}, "start: autoreset is 'never'"),
    "a life below 0": ({"max_steps": -1}, "start: max_steps is -1"),
    "a life of text": ({"max_steps": "long"}, "start: max_steps is long"),
}


@pytest.mark.parametrize("name", STARTS)
def test_a_wrong_start_is_one_line(name):
    options, says = STARTS[name]
    with pytest.raises(InputError, match=says) as told:
        meta_agent("rl2-transformer").start(**options)
    check_line(told)


def saved(tmp_path, adapted=False):
    agent = meta_agent()
    (in_state("plain", "acted") if adapted else agent).save(tmp_path / "agent")
    return tmp_path / "agent"


def changed(path, name, change):
    change(path / name)
    return path


def cut(path):
    path.write_bytes(path.read_bytes()[:100])


def replaced_by_a_pipe(path):
    path.unlink()
    os.mkfifo(path)


def replaced_by_a_link(path):
    path.rename(path.parent.parent / "moved")
    path.symlink_to(path.parent.parent / "moved")


def exchanged(tmp_path):
    """Return a saved agent with the configuration of another one."""
    meta_agent("rl2-gru").save(tmp_path / "other")
    path = saved(tmp_path)
    (path / "config.json").write_bytes((tmp_path / "other" / "config.json").read_bytes())
    return path


def unmade(tmp_path, text):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(text)
    return tmp_path / "run"


MODEL, SESSION = "model.safetensors", "session.safetensors"
LOADS = {
    "nothing": (lambda tmp: tmp / "none", InputError, "none is no run, checkpoint or saved agent: there is nothing"),
    "a file": (lambda tmp: filled(tmp / "file"), InputError, "is no run.*it is a file"),
    "an empty directory": (lambda tmp: tmp, InputError, "it holds no config.json"),
    "a link to nowhere": (lambda tmp: linked(tmp) / "x", InputError, "there is nothing"),
    "None": (lambda _: None, InputError, "load: the path is None, expected a text or a Path"),
    "a number": (lambda _: 3, InputError, "load: the path is 3"),
    "a null character": (lambda _: "a\0b", InputError, "load: the path is"),
    "a run without a configuration": (lambda tmp: unmade(tmp, "{}"), InputError, "run"),
    "a run of no JSON": (lambda tmp: unmade(tmp, "{"), InputError, "config.json cannot be read: .*damaged"),
    "a truncated model": (lambda tmp: changed(saved(tmp), MODEL, cut), CheckpointError, "model.safetensors is damaged"),
    "truncated sessions": (
        lambda tmp: changed(saved(tmp, True), SESSION, cut), CheckpointError, "session.safetensors is damaged",
    ),
    "no model": (lambda tmp: changed(saved(tmp), MODEL, os.unlink), CheckpointError, "model.* cannot be read: No such"),
    "no configuration": (lambda tmp: changed(saved(tmp), "config.json", os.unlink), CheckpointError, "cannot be read"),
    "no manifest": (lambda tmp: changed(saved(tmp), "manifest.json", os.unlink), CheckpointError, "cannot be read"),
    "no sessions": (lambda tmp: changed(saved(tmp, True), SESSION, os.unlink), CheckpointError, "cannot be read"),
    "a pipe": (lambda tmp: changed(saved(tmp), MODEL, replaced_by_a_pipe), CheckpointError, "read: it is a pipe"),
    "a link": (lambda tmp: changed(saved(tmp), MODEL, replaced_by_a_link), CheckpointError, "read: it is a link"),
    "a configuration of another": (exchanged, CheckpointError, "config.json is damaged"),
    "an empty manifest": (
        lambda tmp: changed(saved(tmp), "manifest.json", lambda p: p.write_text("{}")), CheckpointError, "manifest",
    ),
    "a newer format": (
        lambda tmp: changed(saved(tmp), "manifest.json", lambda p: p.write_text('{"format": 2}')),
        CheckpointError, "has format 2, this drml reads up to 1; use a newer drml",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOADS)
@pytest.mark.parametrize("load", [drml.load, drml.load_agent], ids=["load", "load_agent"])
def test_what_cannot_be_loaded_is_told_in_one_line(name, load, tmp_path):
    make, error, says = LOADS[name]
    with pytest.raises(error, match=says) as told:
        load(make(tmp_path))
    check_line(told)


def test_an_agent_is_asked_for_where_only_what_was_learned_is(tmp_path):
    with pytest.raises(InputError, match=r"begun to act; begin one with drml.load\(.*\).start\(\)") as told:
        drml.load_agent(saved(tmp_path))
    check_line(told)


def test_a_run_without_a_checkpoint_says_how_to_go_on(tmp_path):
    run = drml.train(
        "navigation-maml-v1", "maml", out=tmp_path / "run", verbose=False, meta_iters=1, num_tasks=2, copies=2
    )
    for path in sorted((run.path / "checkpoints").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    with pytest.raises(CheckpointError, match="no checkpoint yet; train it with --resume") as told:
        drml.load(run.path)
    check_line(told)


def test_the_table_is_long_enough():
    assert len(USES) + len(STARTS) + len(LOADS) >= 40
