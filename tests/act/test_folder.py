"""Saved agents: what is loaded goes on to the bits of what was never saved, and nothing damaged is taken."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces

import drml
from drml.act import folder
from drml.core.config import to_dict
from drml.core.errors import CheckpointError, InputError, ResourceError
from drml.run import publication, sealed
from drml.run.config import kept_config

from .driving import LEARNERS, event, meta_agent

EVENTS = 80
MOMENTS = (1, 12, 33, 50, 64)  # odd ones lie between `act` and `observe`


@pytest.fixture(scope="module")
def continued(tmp_path_factory):
    """Return for each learner and moment what a never saved agent did from there on, and a loaded one elsewhere."""
    place = tmp_path_factory.mktemp("saved")
    whole, moments = {}, {}
    for name in LEARNERS:
        agent = meta_agent(name).start(2, seed=11, sessions=[4, 0, 9], max_steps=EVENTS)
        whole[name] = []
        for number in range(EVENTS):
            if number in MOMENTS:
                agent.save(place / f"{name}-{number}")
                moments[str(place / f"{name}-{number}")] = number
            whole[name].append(event(agent, number))
        assert any(agent.steps)
    script = [sys.executable, str(Path(__file__).with_name("driving.py")), json.dumps(moments), str(EVENTS)]
    answer = subprocess.run(
        script, capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    found = json.loads(answer.stdout)
    return {(name, at): (whole[name][at:], found[str(place / f"{name}-{at}")]) for name in LEARNERS for at in MOMENTS}


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_saved_agent_goes_on_in_a_fresh_process_to_the_bits_of_one_never_saved(continued, name, moment):
    expected, found = continued[name, moment]
    assert found == expected


@pytest.mark.parametrize("name", LEARNERS)
def test_a_meta_folder_begins_as_what_was_saved(name, tmp_path):
    meta = meta_agent(name)
    meta.save(tmp_path / "agent")
    loaded = drml.load(tmp_path / "agent")
    assert isinstance(loaded, drml.MetaAgent)
    assert loaded.learned.config == meta.learned.config
    assert loaded.learned.interface == meta.learned.interface
    assert dict(loaded.learned.facts) == dict(meta.learned.facts)
    first, second = meta.start(3, seed=5), loaded.start(3, seed=5)
    assert [event(first, n) for n in range(12)] == [event(second, n) for n in range(12)]


def test_predict_goes_on_with_its_stream(tmp_path):
    agent = meta_agent().start(seed=2)
    agent.predict(np.zeros(2))
    agent.save(tmp_path / "agent")
    loaded = drml.load(tmp_path / "agent")
    np.testing.assert_array_equal(agent.predict(np.zeros(2))[0], loaded.predict(np.zeros(2))[0])


def test_kept_rollouts_come_back(tmp_path):
    agent = meta_agent().start(2, sessions=2)
    for n in range(20):
        event(agent, n)
    agent.sessions.kept[1] = kept = agent.sessions.experience.rollout(torch.tensor([1]), 5, False)
    agent.save(tmp_path / "agent")
    found = drml.load_agent(tmp_path / "agent").sessions.kept
    assert found[0] is None
    for name in (
        "obs",
        "action",
        "reward",
        "terminated",
        "truncated",
        "valid",
        "final_obs",
        "elapsed",
        "log_prob",
        "taken",
    ):
        torch.testing.assert_close(getattr(found[1], name), getattr(kept, name), rtol=0, atol=0)
    torch.testing.assert_close(found[1].acting.mean, kept.acting.mean, rtol=0, atol=0)


def test_every_kind_of_space_is_kept(tmp_path):
    space = spaces.Dict(
        picture=spaces.Box(0, 255, (2, 2, 3), np.uint8),
        pair=spaces.Tuple([spaces.Discrete(3, start=1), spaces.MultiBinary(2)]),
        several=spaces.MultiDiscrete([2, 3]),
    )
    meta = meta_agent(observation_space=space, action_space=spaces.MultiDiscrete([2, 3]))
    agent = meta.start()
    space.seed(0)
    seen = [space.sample() for _ in range(6)]
    for obs in seen[:3]:
        assert meta.action_space.contains(agent.act(obs))
        agent.observe(1.0, False, False)
    agent.save(tmp_path / "agent")
    loaded = drml.load_agent(tmp_path / "agent")
    assert loaded.learned.interface.observation_space == space
    for obs in seen[3:]:
        np.testing.assert_array_equal(agent.act(obs), loaded.act(obs))
        agent.observe(0.5, False, obs is seen[-1], final_obs=seen[0])
        loaded.observe(0.5, False, obs is seen[-1], final_obs=seen[0])
    kept = [agent.sessions.experience.rollout(torch.tensor([0]), 5, False) for agent in (agent, loaded)]
    assert kept[0].obs.dtype == kept[0].final_obs.dtype == torch.uint8
    assert torch.equal(kept[0].obs, kept[1].obs) and torch.equal(kept[0].final_obs, kept[1].final_obs)
    assert kept[0].final_obs.any(-1).tolist() == kept[0].ended.tolist()
    agent.adapt()
    loaded.adapt()
    np.testing.assert_array_equal(agent.act(seen[0]), loaded.act(seen[0]))


def test_a_number_beside_a_picture_that_is_not_finite_is_not_believed(tmp_path):
    space = spaces.Tuple([spaces.Box(0, 255, (2, 2, 3), np.uint8), spaces.Box(-1, 1, (1,))])
    agent = meta_agent(observation_space=space).start()
    agent.act((np.zeros((2, 2, 3), np.uint8), np.ones(1, np.float32)))
    agent.observe(1.0, False, False, final_obs=space.sample())
    agent.sessions.experience.looks[0].obs[..., -4:] = torch.tensor([torch.nan]).view(torch.uint8)
    agent.save(tmp_path / "agent")
    with pytest.raises(CheckpointError, match="looks/obs: numbers of an observation are not finite"):
        drml.load_agent(tmp_path / "agent")


def test_what_was_kept_before_there_were_encoders_sees_flat_numbers():
    kept = to_dict(meta_agent().learned.config)
    assert kept_config(kept, "here").policy.encoder.kind == "auto"
    del kept["policy"]["encoder"]
    assert kept_config(kept, "here").policy.encoder.kind == "flat"


def test_the_folder_is_what_hubs_expect(tmp_path):
    from safetensors.torch import load_file

    meta = meta_agent()
    meta.save(tmp_path / "agent", license="mit")
    assert {path.name for path in (tmp_path / "agent").iterdir()} == {
        "README.md", "config.json", "manifest.json", "model.safetensors",
    }  # fmt: skip
    assert load_file(tmp_path / "agent" / "model.safetensors").keys() == meta.learned.shared.keys()
    config = json.loads((tmp_path / "agent" / "config.json").read_text())
    assert config["learner"] == "maml" and config["interface"]["horizon"] == 5 and config["format"] == 1
    card = (tmp_path / "agent" / "README.md").read_text().split("---\n")
    assert "library_name: drml" in card[1] and "license: mit" in card[1] and "- meta-learning" in card[1]
    assert "horizon | 5 steps" in card[2]


def test_the_card_may_be_edited_and_the_folder_still_loads(tmp_path):
    meta_agent().save(tmp_path / "agent")
    (tmp_path / "agent" / "README.md").write_text("mine")
    (tmp_path / "agent" / ".gitattributes").write_text("of a hub")
    drml.load(tmp_path / "agent")


def test_saving_replaces_a_saved_agent_and_leaves_no_draft(tmp_path, monkeypatch):
    meta_agent("maml").save(tmp_path / "agent")
    meta_agent("reptile").start().save(tmp_path / "agent")
    assert drml.load(tmp_path / "agent").learned.config.learner == "reptile"
    monkeypatch.setattr(publication, "_renameat2", lambda: None)  # a system that exchanges no names
    meta_agent("promp").save(tmp_path / "agent")
    assert drml.load(tmp_path / "agent").learned.config.learner == "promp"
    assert [path.name for path in tmp_path.iterdir()] == ["agent"]


def test_a_save_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    meta_agent("maml").save(tmp_path / "agent")
    before = {path.name: path.read_bytes() for path in (tmp_path / "agent").iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    for name in ("write_durably", "sync_directory", "_exchange"):
        with monkeypatch.context() as patch:
            patch.setattr(publication, name, full)
            with pytest.raises(ResourceError, match=r"cannot write .*agent: No space left"):
                meta_agent("reptile").save(tmp_path / "agent")
        assert {path.name: path.read_bytes() for path in (tmp_path / "agent").iterdir()} == before
        assert [path.name for path in tmp_path.iterdir()] == ["agent"]
        with monkeypatch.context() as patch:
            patch.setattr(publication, name, full)
            if name != "_exchange":
                with pytest.raises(ResourceError):
                    meta_agent().save(tmp_path / "new" / "deep" / "agent")
                assert not (tmp_path / "new").exists()


def test_a_flipped_bit_is_an_error(tmp_path):
    agent = meta_agent("es_maml").start(2)
    for n in range(30):
        event(agent, n)
    agent.save(tmp_path / "agent")
    for name in ("config.json", "model.safetensors", "session.safetensors", "manifest.json"):
        path = tmp_path / "agent" / name
        sound = path.read_bytes()
        for at in np.linspace(0, len(sound) - 1, 12).astype(int).tolist():
            path.write_bytes(sound[:at] + bytes([sound[at] ^ 1 << at % 8]) + sound[at + 1 :])
            with pytest.raises(CheckpointError) as told:
                drml.load(tmp_path / "agent")
            assert "\n" not in str(told.value)
        path.write_bytes(sound)
    drml.load(tmp_path / "agent")


def reseal(path, change):
    """Change a saved agent by `change(config, tensors)` and seal it again, as somebody might who means harm."""
    from safetensors.torch import load, save

    contents = {p.name: p.read_bytes() for p in path.iterdir() if p.name not in ("README.md", "manifest.json")}
    config = json.loads(contents["config.json"])
    tensors = load(contents["session.safetensors"]) if "session.safetensors" in contents else {}
    change(config, tensors)
    contents["config.json"] = json.dumps(config).encode()
    if tensors:
        contents["session.safetensors"] = save({name: value.contiguous() for name, value in tensors.items()})
    for name, data in contents.items():
        (path / name).write_bytes(data)
    manifest = sealed.encode_manifest({name: sealed.entry_of(data) for name, data in contents.items()}, 0)
    (path / "manifest.json").write_bytes(manifest)


def of(key, value):
    return lambda config, _: config["sessions"].__setitem__(key, value)


def leaf(name, make):
    return lambda _, tensors: tensors.__setitem__(name, make(tensors.get(name)))


HOSTILE = {
    "another learner": lambda config, _: config.update(learner="rl2"),
    "another policy": lambda config, _: config["policy"].update(hidden=[8]),
    "an unknown key": lambda config, _: config.update(more=1),
    "a newer format": lambda config, _: config.update(format=2),
    "no format": lambda config, _: config.pop("format"),
    "a horizon of text": lambda config, _: config["interface"].update(horizon="long"),
    "another space": lambda config, _: config["interface"]["observation_space"].update(shape=[3]),
    "reached is no object": lambda config, _: config.update(reached=[]),
    "tested without a curve": lambda config, _: config.update(tested={"split": "test", "return_by_step": []}),
    "no sessions": lambda config, _: config.pop("sessions"),
    "sessions is a list": lambda config, _: config.update(sessions=[]),
    "an autoreset": of("autoreset", "never"),
    "copies": of("copies", 3),
    "no copies": of("copies", 0),
    "steps of too few": of("steps", [0]),
    "steps below 0": of("steps", [-1, 0]),
    "steps beyond all": of("steps", [10**400, 0]),
    "an agent that is not there": of("agents", [0, 99]),
    "a table of nothing": of("table", []),
    "a seed of text": of("seed", "a"),
    "episodes that are missing": of("episodes_after", [50, 50]),
    "a lead of others": of("acted", {"explored": True, "lead": [5]}),
    "explored as text": of("acted", {"explored": "no", "lead": [2, 2]}),
    "NaN in memory": leaf("elapsed", lambda x: x.float() * torch.nan),
    "one leaf more": leaf("extra", lambda _: torch.zeros(1)),
    "a leaf below a leaf": leaf("ids/0", lambda _: torch.zeros(1)),
    "looks of other observations": leaf("looks/obs", lambda x: x[..., :1]),
    "fewer looks": leaf("looks/obs", lambda x: x[:3]),
    "looks that are not finite": leaf("looks/obs", lambda x: x * torch.inf),
    "since beyond the looks": leaf("since", lambda x: x + 10_000),
    "since before the looks": leaf("since", lambda x: x - 10_000),
    "noise without a place": leaf("noise", lambda x: torch.full_like(x, -1)),
    "ids of another type": leaf("ids", lambda x: x.float()),
    "ids of another shape": leaf("ids", lambda x: x[:1]),
    "ids without axes": leaf("ids", lambda x: x[0]),
    "parameters of other shapes": leaf("params/0/mean.0.weight", lambda _: torch.zeros(1)),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_folder_that_does_not_fit_together_is_refused_in_one_line(what, tmp_path):
    agent = meta_agent().start(2, sessions=2)
    for n in range(21):
        event(agent, n)
    agent.save(tmp_path / "agent")
    reseal(tmp_path / "agent", lambda *_: None)
    drml.load(tmp_path / "agent")
    reseal(tmp_path / "agent", HOSTILE[what])
    with pytest.raises((CheckpointError, InputError)) as told:
        drml.load(tmp_path / "agent")
    assert "\n" not in str(told.value) and str(tmp_path) in str(told.value)


def test_loading_imports_no_environment_and_no_extra(tmp_path):
    run = drml.train(
        "navigation-maml-v1", "maml", out=tmp_path / "run", verbose=False, meta_iters=1, num_tasks=2, copies=2
    )
    run.agent().save(tmp_path / "agent")
    code = (
        "import sys, time; begun = time.perf_counter()\n"
        "import torch; torch_there = time.perf_counter()\n"
        "import drml, numpy as np\n"
        "metas = [drml.load(path) for path in sys.argv[1:]]; took = time.perf_counter() - begun\n"
        "for meta in metas:\n"
        "    agent = meta.start()\n"
        "    for n in range(100): agent.act(np.zeros(2)); agent.observe(1.0, False, n == 99)\n"
        "    agent.adapt(); agent.predict(np.zeros(2))\n"
        "print(took, torch_there - begun, *sys.modules)"
    )
    paths = [str(tmp_path / "run"), str(tmp_path / "agent")]
    answer = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True)
    took, _, *modules = answer.stdout.split()
    absent = ("drml.envs", "drml.suites", "drml.check", "drml.executors", "drml.report", "drml.loop.train")
    absent += ("drml.loop.trainer", "drml.loop.meet", "drml.gym", "drml.use", "drml.cli")
    absent += ("mujoco", "matplotlib", "tyro", "rich", "tensorboard", "keras", "onnx", "tensorflow")
    assert not [name for name in modules if any(name == a or name.startswith(f"{a}.") for a in absent)]
    assert float(took) < 20.0  # 1.3 s where nothing else runs; a machine that is busy takes longer


def test_the_card_of_a_tested_run_tells_its_curve(tmp_path):
    run = drml.train(
        "navigation-maml-v1", "maml", out=tmp_path / "run", verbose=False, meta_iters=1, num_tasks=2, copies=2
    )
    result = run.test(adapt_steps=1, num_tasks=3, copies=2)
    run.agent().save(tmp_path / "agent")
    drml.load(tmp_path / "agent").save(tmp_path / "again")  # from the folder alone
    card = (tmp_path / "again" / "README.md").read_text()
    last = result["return_by_step"][1]
    assert f'value: "{last["mean"]:.4g} +/- {last["mean_half_width_95"]:.3g}"' in card
    assert f"| 1 | {last['mean']:.4g} ± {last['mean_half_width_95']:.3g} | 2 | 200 |" in card
    assert card == (tmp_path / "agent" / "README.md").read_text()
    assert folder.is_there(tmp_path / "again")


def test_an_agent_that_is_replaced_while_it_is_read_is_read_again(tmp_path, monkeypatch):
    meta_agent("maml").save(tmp_path / "a")
    read, seen = folder.load, []

    def read_late(path):
        seen.append(path)
        if len(seen) == 1:  # another process has saved since the first file was read
            meta_agent("promp").save(path)
            raise CheckpointError("config.json is damaged: its sha256 is not the one in the manifest")
        return read(path)

    monkeypatch.setattr(folder, "load", read_late)
    assert drml.load(tmp_path / "a").learned.config.learner == "promp" and len(seen) == 2
    seen[:] = [tmp_path]
    (tmp_path / "a/model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="damaged"):
        drml.load(tmp_path / "a")
