"""Experience against cases worked by hand: one session's rewards number its steps, so that places can be read off."""

import pytest
import torch

from drml.act.experience import Experience, Look
from drml.core.distribution import Gaussian


def seen(rows, horizon, whole, *, sessions=1, watched=(), idle=(), since=0):
    """Return the rollout of looks at copies.

    Args:
        rows: by copy, a text with a letter for each look: `.` goes on, `T` terminates, `C` is cut by time.
        horizon: of the environment.
        whole: whether episodes must have ended.
        sessions: how many see the same.
        watched: pairs of (look, copy) whose action was not drawn from the policy.
        idle: pairs where the step only started an episode.
        since: looks that are forgotten.
    """
    copies = len(rows)
    experience, elapsed = Experience(sessions, copies), torch.zeros(sessions, copies, dtype=torch.int64)
    for t in range(len(rows[0])):
        if t == since:
            experience.forget(torch.arange(sessions))
        kinds = [row[t] for row in rows]
        taken = torch.tensor([(t, b) not in idle for b in range(copies)]).expand(sessions, copies)
        terminated = torch.tensor([kind == "T" for kind in kinds]).expand(sessions, copies)
        truncated = torch.tensor([kind == "C" for kind in kinds]).expand(sessions, copies)
        reward = torch.tensor([10.0 * b + t + 1 for b in range(copies)]).expand(sessions, copies)
        explored = torch.tensor([(t, b) not in watched for b in range(copies)]).expand(sessions, copies)
        obs = reward[..., None]
        acting = Gaussian(torch.zeros(sessions, copies, 1), torch.zeros(1, 1, 1))
        look = Look(obs, obs * 0, reward, terminated, truncated, obs + 0.5, elapsed, taken, explored)
        experience.add(look, acting)
        ended = (terminated | truncated) & taken
        elapsed = torch.where(taken, elapsed + 1, 0).masked_fill(ended, 0)
    return experience.rollout(torch.arange(sessions), horizon, whole)


def columns(rollout, name="reward", session=0):
    """Return what each column of a rollout holds where its steps were taken."""
    values, taken = getattr(rollout, name)[session], rollout.taken[session]
    return [values[:, c][taken[:, c]].tolist() for c in range(values.shape[1])]


def test_episodes_are_columns_in_the_order_of_episode_and_copy():
    rollout = seen(["..T..C", ".C...T"], 3, True)
    assert columns(rollout) == [[1, 2, 3], [11, 12], [4, 5, 6], [13, 14, 15, 16]]
    assert columns(rollout, "elapsed") == [[0, 1, 2], [0, 1], [0, 1, 2], [0, 1, 2, 3]]
    assert columns(rollout, "terminated") == [[0, 0, 1], [0, 0], [0, 0, 0], [0, 0, 0, 1]]
    assert columns(rollout, "truncated") == [[0, 0, 0], [0, 1], [0, 0, 1], [0, 0, 0, 0]]


def test_running_episodes_are_left_out_of_whole_ones():
    assert columns(seen(["..T..", "....."], 5, True)) == [[1, 2, 3]]
    assert seen(["....."], 5, True) is None


def test_steps_are_cut_into_stretches_of_a_horizon_that_end_with_an_episode():
    # of horizon 3: one step and two are too few, so the first stretch has the two episodes; the rest has gone on
    rollout = seen(["T.T..T.."], 3, False)
    assert columns(rollout) == [[1, 2, 3], [4, 5, 6], [7, 8]]
    assert columns(rollout, "truncated")[2] == [False, True]  # cut where adaptation comes first
    assert not rollout.truncated[0, :, :2].any()


def test_where_a_stretch_is_cut_the_observation_after_it_is_known():
    rollout = seen(["..", ".."], 3, False)
    assert columns(rollout, "truncated") == [[False, True], [False, True]]
    assert rollout.final_obs[0, :, :, 0].tolist() == [[0.0, 0.0], [2.5, 12.5]]


def test_shorter_columns_are_padded_by_steps_that_were_not_taken_and_hold_zeros():
    rollout = seen(["T....C"], 6, True)
    assert rollout.reward[0].T.tolist() == [[1, 0, 0, 0, 0, 0], [2, 3, 4, 5, 6, 0]]
    assert torch.equal(rollout.valid, rollout.taken)
    assert rollout.env_steps == 6
    untaken = ~rollout.taken
    for name in ("obs", "reward", "final_obs", "log_prob", "elapsed"):
        assert not getattr(rollout, name)[untaken].any()


def test_a_step_follows_where_an_end_before_the_horizon_was_the_environments_own():
    # a truncation in the last place would read as the horizon's; the place after it, not taken, says that it is not
    assert seen([".C"], 3, True).reward.shape == (1, 3, 1)
    assert seen(["..C"], 3, True).reward.shape == (1, 3, 1)
    assert seen([".."], 3, False).reward.shape == (1, 2, 1)  # looking ended there: no step follows


@pytest.mark.parametrize("whole", [True, False])
def test_an_episode_with_an_action_that_was_not_explored_is_left_out_whole(whole):
    rollout = seen(["..T..T", "..C..C"], 3, whole, watched={(1, 0), (5, 1)})
    assert columns(rollout) == [[4, 5, 6], [11, 12, 13]]  # the first of each copy that is learned from
    assert seen(["..T"], 3, whole, watched={(0, 0)}) is None


@pytest.mark.parametrize("whole", [True, False])
def test_looks_that_only_started_an_episode_are_no_steps(whole):
    rollout = seen([".T..T", "..T.."], 2, whole, idle={(2, 0), (3, 1)})
    expected = [[1, 2], [11, 12, 13], [4, 5]]
    assert columns(rollout) == (expected if whole else [*expected, [15]])
    assert columns(rollout, "elapsed")[2] == [0, 1]


@pytest.mark.parametrize("whole", [True, False])
def test_what_was_forgotten_is_not_learned_from_again(whole):
    rollout = seen(["....T..T"], 3, whole, since=2)
    assert columns(rollout) == [[3, 4, 5], [6, 7, 8]]


def test_sessions_forget_each_for_itself_and_looks_that_nobody_needs_are_dropped():
    experience = Experience(2, 1)
    flag, number = torch.zeros(2, 1, dtype=torch.bool), torch.zeros(2, 1, dtype=torch.int64)
    for t in range(4):
        obs = torch.full((2, 1, 1), float(t))
        look = Look(obs, obs, obs[..., 0], flag, flag, obs, number + t, ~flag, ~flag)
        experience.add(look, Gaussian(obs, torch.zeros(1 if t < 2 else 2, 1, 1)))
        if t == 1:
            experience.forget(torch.tensor([0]))
    assert len(experience.looks) == 4 and experience.since.tolist() == [2, 0]
    both = experience.rollout(torch.tensor([0, 1]), 9, False)
    assert columns(both, session=0) == [[2, 3]] and columns(both, session=1) == [[0, 1, 2, 3]]
    experience.forget(torch.tensor([1]))
    assert len(experience.looks) == 2 and experience.since.tolist() == [0, 2]
    assert experience.rollout(torch.tensor([0, 1]), 9, False) is None  # one of them has nothing


def test_the_log_probability_is_that_of_the_acting_distribution():
    rollout = seen(["..T"], 3, True)
    expected = torch.full((3,), -0.5 * torch.log(torch.tensor(2 * torch.pi)).item())
    torch.testing.assert_close(rollout.log_prob[0, :, 0], expected)


def looks_of(steps, explored_of, ends, forget_at=()):
    """Return the experience of one copy whose actions are drawn from the policy at `explored_of`, and what it is."""
    experience, elapsed = Experience(1, 1), 0
    for t in range(steps):
        if t in forget_at:
            experience.forget(torch.tensor([0]))
        number, ended = torch.full((1, 1), float(t)), torch.full((1, 1), t in ends)
        flag = torch.zeros(1, 1, dtype=torch.bool)
        explored = torch.full((1, 1), explored_of(t))
        look = Look(
            number[..., None],
            number[..., None],
            number,
            ended,
            flag,
            number[..., None],
            flag + elapsed,
            ~flag,
            explored,
        )
        experience.add(look, Gaussian(number[..., None], torch.zeros(1, 1, 1)))
        elapsed = 0 if t in ends else elapsed + 1
    return experience


def test_an_agent_that_is_only_to_work_does_not_grow():
    assert not looks_of(50, lambda t: False, {9, 19, 29}).looks
    assert len(looks_of(50, lambda t: t < 10, {9, 19, 29}).looks) == 10  # what it did before is still there
    assert not looks_of(50, lambda t: t < 5, {9, 19}, forget_at={5}).looks


def test_an_episode_with_a_gap_is_left_out_and_the_next_one_is_whole():
    experience = looks_of(12, lambda t: t != 1, {3, 7, 11})
    assert columns(experience.rollout(torch.tensor([0]), 4, True)) == [[4, 5, 6, 7], [8, 9, 10, 11]]
    late = looks_of(12, lambda t: t >= 2, {3, 7, 11})  # its first two steps were not kept
    assert columns(late.rollout(torch.tensor([0]), 4, True)) == [[4, 5, 6, 7], [8, 9, 10, 11]]
    adapted = looks_of(12, lambda t: t not in (5, 6), {3, 7, 11}, forget_at={5})
    assert columns(adapted.rollout(torch.tensor([0]), 4, True)) == [[8, 9, 10, 11]]
