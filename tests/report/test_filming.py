import json
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image

from drml.algos.gradient.promp import ProMPConfig
from drml.algos.memory.rl2 import RL2Config
from drml.collect.collector import Collector
from drml.core.errors import InputError
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.types import Agent
from drml.envs.api import EnvOptions, Filmable
from drml.learning.returns import episode_returns
from drml.policies.memory.registry import MemoryConfig
from drml.report import write_report
from drml.report.captions import BAR, GOOD, Caption, captioned
from drml.report.filming import Filming, Told, _label, chosen, film_run, first_length
from drml.report.recorder import MAX_PICTURES, Recorder
from drml.run import session
from drml.run.config import RunConfig
from drml.run.setup import set_up
from drml.suites.registry import SUITES
from drml.tasks.samplers.uniform import UniformSampler

UNSEEN = ("bandit-", "tabular-", "probe-")
NEEDS = {"lunar-": "Box2D", **dict.fromkeys(("half-cheetah-", "ant-", "hopper-", "walker2d-"), "mujoco")}
NEEDS |= {"humanoid-": "mujoco", "reacher-": "mujoco", "cartpole-": "pygame", "acrobot-": "pygame"}
NEEDS |= {
    "minigrid-": "minigrid",
    "babyai-": "minigrid",
    "atari-": "ale_py",
    "pendulum-": "pygame",
    "mountain-car-": "pygame",
}


def test_task_parameters_of_any_shape_have_a_label():
    assert _label(torch.tensor(-1.0)) == "-1"
    assert _label(torch.tensor([0.5, -2.0])) == "(+0.5, -2)"
    assert _label(torch.ones(5, 3)) == "15 numbers"


def test_a_film_ends_with_the_episode_whose_return_it_tells():
    assert first_length(torch.tensor([False, False, True, False, True])) == 3
    assert first_length(torch.tensor([False, False, False, True])) == 4


def test_who_is_shown():
    nan = float("nan")
    first, second, last = (
        torch.tensor([[3.0, 1.0, 2.0]]),
        torch.tensor([[0.0, 9.0, 1.0]]),
        torch.tensor([[1.0, nan, 0.0]]),
    )
    assert chosen([first, second, last], is_trial=False) == {0: [2], 2: [0]}  # medians of each, of what is finite
    assert chosen([first, second, first], is_trial=True) == {0: [0], 1: [0], 2: [0]}  # sums 6, 11, 5: one is followed
    assert chosen([first, second], is_trial=True) == {0: [2], 1: [2]}  # sums 3, 10, 3
    assert chosen([first], is_trial=True) == {0: [2]}


def setting(name):
    for prefix, package in NEEDS.items():
        if name.startswith(prefix) and find_spec(package) is None:
            pytest.skip(f"needs {package}")
    setup = set_up(RunConfig(name, "promp", ProMPConfig()))
    env, rng = setup.suite.make(EnvOptions(threads=1)), Streams(5)
    tasks = UniformSampler().sample({}, setup.suite.tasks, "train", 2, rng["tasks"])
    agent = Agent(setup.learner.init(rng["init"]).shared)
    return setup, env, tasks, agent, rng


def play(setup, env, tasks, agent, rng):
    steps = min(setup.suite.spec.horizon, 30)
    return Collector(env, steps, 3, Phases())(setup.learner.policy, agent, tasks, rng)


FILMED = [name for name in SUITES if not name.startswith(UNSEEN)]
ONE_OF_EACH = {name.split("-")[0]: name for name in FILMED}.values()


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_filming_is_looking_alone(name):
    setup, env, tasks, agent, rng = setting(name)
    plain = play(setup, env, tasks, agent, rng)
    recorder = Recorder(env, env, {0: [1, 2]})
    filmed = play(setup, recorder, tasks, agent, rng)
    for field in ("obs", "action", "reward", "terminated", "truncated", "log_prob"):
        assert torch.equal(getattr(plain, field), getattr(filmed, field)), field
    for k, copy in enumerate((1, 2)):
        ended = plain.terminated[k, :, copy] | plain.truncated[k, :, copy]
        length = first_length(ended) if ended.any() else len(ended)
        if recorder._every == 1:
            assert recorder.moments[0][k] == list(range(length + 1))


@pytest.mark.parametrize("name", FILMED)
def test_every_suite_that_is_drawn_has_frames(name):
    _, env, tasks, _, rng = setting(name)
    assert isinstance(env, Filmable)
    env.reset(tasks, 2, rng["env"])
    poses = [env.pose(1, 0)]
    action = env.spec.action
    still = torch.zeros(2, 2, action.size) if action.kind == "continuous" else torch.ones(2, 2, dtype=torch.int64)
    env.step(still)
    poses.append(env.pose(1, 0))
    frames = env.render(1, torch.stack(poses))
    assert frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[0] == 2 and frames.shape[3] == 3
    assert 80 <= frames.shape[1] <= 400 and 150 <= frames.shape[2] <= 400
    assert len(np.unique(frames[0].reshape(-1, 3), axis=0)) >= 3  # more than a ground and its lines
    assert env.fps > 0 and isinstance(env.words(1), str)


@pytest.mark.parametrize("prefix", UNSEEN)
def test_what_has_no_pictures_says_so(prefix):
    _, env, tasks, _, rng = setting(next(name for name in SUITES if name.startswith(prefix)))
    env.reset(tasks, 1, rng["env"])
    with pytest.raises(InputError, match="no pictures"):
        env.pose(0, 0)


def test_poses_are_taken_to_the_end_of_the_first_episode_and_no_further():
    setup, env, tasks, agent, rng = setting("meta-frozen-lake-4x4-v1")
    recorder = Recorder(env, env, {0: [0, 2]})
    rollout = play(setup, recorder, tasks, agent, rng)
    for k, copy in enumerate((0, 2)):
        length = first_length(rollout.ended[k, :, copy])
        assert recorder.moments[0][k] == list(range(length + 1))
        seen = torch.stack(recorder.poses[0][k])
        assert torch.equal(seen[:length] / 4, rollout.obs[k, :length, copy])  # what is drawn is what was seen
        assert torch.equal(seen[length] / 4, rollout.final_obs[k, length - 1, copy])  # the end too


def test_long_episodes_are_thinned_and_keep_their_end():
    setup, env, tasks, agent, rng = setting("gridnavi-varibad-v1")
    recorder = Recorder(env, env, {0: [0, 0]})
    recorder._every = 4  # as for a horizon of 1200 or less, above 900
    play(setup, recorder, tasks, agent, rng)
    assert recorder.moments[0] == [[0, 4, 8, 12, 15]] * 2
    assert MAX_PICTURES == 300


def test_a_caption_tells_what_was_earned_so_far():
    told = Told(torch.tensor([0.25, 0.5, -1.0]), torch.tensor([False, True, False]))
    assert told.caption("episode 2, ", 0) == Caption("episode 2, step 0", "return 0.00")
    assert told.caption("", 1) == Caption("step 1", "return 0.25")
    assert told.caption("", 3) == Caption("step 3", "success, return −0.25", True)
    assert told.facts() == {"return": -0.25, "success": True}
    assert Told(torch.ones(2), None).facts() == {"return": 2.0}


def test_captions_stand_below_the_pictures():
    frames = np.zeros((3, 20, 300, 3), np.uint8)
    before, after = Caption("step 0", "return 0"), Caption("step 1", "success, return 1", True)
    film = captioned(frames, [before, after, before])
    assert film.shape == (3, 20 + BAR, 300, 3) and not film[:, :20].any()
    assert np.array_equal(film[0], film[2]) and not np.array_equal(film[0], film[1])
    assert (film[1] == GOOD).all(-1).any() and not (film[0] == GOOD).all(-1).any()
    narrow = captioned(frames[:1, :, :90], [Caption("episode 12, step 144", "success, return −123.4", True)])
    assert narrow.shape == (1, 20 + BAR, 90, 3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a run of RL² on lakes, of two small meta-iterations."""
    run = tmp_path_factory.mktemp("runs") / "lake"
    train = session.TrainConfig(meta_iters=2, num_tasks=4, copies=2, validation_tasks=2)
    session.start(RunConfig("meta-frozen-lake-4x4-v1", "rl2", RL2Config(), MemoryConfig(), train=train), run)
    return run


def test_a_trial_is_followed_and_its_films_end_together(trained):
    films = film_run(trained, Filming(num_tasks=3, copies=4))
    assert {(film["row"], film["step"]) for film in films} == {(k, step) for k in range(3) for step in (0, 1)}
    assert all(film["success"] == (film["return"] == 1.0) and film["task"].startswith("holes at (") for film in films)
    for k in range(3):
        lengths = []
        for film in (film for film in films if film["row"] == k):
            with Image.open(trained / film["file"]) as image:
                durations = []
                for t in range(image.n_frames):
                    image.seek(t)
                    image.load()
                    durations.append(image.info["duration"])
                lengths.append(sum(durations))
            assert (trained / film["strip"]).is_file()
        assert lengths[0] == lengths[1] >= 1500
    page = write_report(trained)
    assert page.stat().st_size < 1_000_000
    assert page.read_text().count("data:image/webp") == 6


def test_fewer_films_leave_none_of_the_older_ones(trained):
    film_run(trained, Filming(num_tasks=3, copies=2))
    films = film_run(trained, Filming(num_tasks=1, copies=2))
    named = {film[key].split("/")[1] for film in films for key in ("file", "strip")}
    assert {path.name for path in (trained / "films").iterdir()} == named


def test_a_test_leaves_no_films_of_an_older_one(trained):
    film_run(trained, Filming(num_tasks=1, copies=2))
    session.test(trained, adapt_steps=1, num_tasks=2, copies=2)
    assert not (trained / "films.json").exists() and not list((trained / "films").iterdir())
    assert "This run has not been filmed" in write_report(trained).read_text()


def test_films_show_returns_that_were_played(trained):
    films = film_run(trained, Filming(num_tasks=2, copies=5, seed=3))
    kept = json.loads((trained / "films.json").read_text())
    assert kept == films and all(film["return"] in (0.0, 1.0) for film in films)
    assert film_run(trained, Filming(num_tasks=2, copies=5, seed=3)) == films


def test_median_of_a_rollout_is_told():
    setup, env, tasks, agent, rng = setting("gridnavi-varibad-v1")
    rollout = play(setup, env, tasks, agent, rng)
    shown = chosen([episode_returns(rollout)], is_trial=False)[0]
    for k, copy in enumerate(shown):
        earned = Told.of(rollout, k, copy).facts()["return"]
        assert earned == pytest.approx(episode_returns(rollout)[k].median().item(), abs=1e-5)
