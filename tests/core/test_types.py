from dataclasses import fields

import torch

from drml.core.distribution import Gaussian
from drml.core.rng import Streams
from drml.core.types import Advantages, FinalObs, Rollout, Step, Tasks, join_rollouts, whole

K, T, B, OBS, A = 3, 4, 2, 5, 1


def rollout():
    rng = Streams(0)
    step = torch.zeros(K, T, B)
    flag = torch.zeros(K, T, B, dtype=torch.bool)
    return Rollout(
        obs=rng["obs"].normal((K, T, B, OBS)),
        action=rng["action"].normal((K, T, B, A)),
        reward=rng["reward"].normal((K, T, B)),
        terminated=flag,
        truncated=flag,
        valid=~flag,
        final=FinalObs.dense(torch.arange(1.0 * K * T * B * OBS).view(K, T, B, OBS)),
        elapsed=step.long(),
        log_prob=rng["log_prob"].normal((K, T, B)),
        acting=Gaussian(rng["mean"].normal((K, T, B, A)), torch.zeros(K, T, B, A)),
        first_carry={"memory": {"h": rng["h"].normal((K, B, 7))}},
        last_carry={"memory": {"h": rng["last"].normal((K, B, 7))}},
        success=rng["success"].uniform((K, T, B)) < 0.5,
    )


def test_map_reaches_every_tensor_with_the_axes_of_a_rollout_once():
    before = rollout()
    seen = []
    after = before.map(lambda value: (seen.append(value), value[:, :2])[1])
    expected = [
        getattr(before, f.name)
        for f in fields(before)
        if f.name not in ("acting", "final", "first_carry", "last_carry")
    ]
    expected.append(before.final.at)
    expected += list(before.acting.tensors().values())
    assert len(seen) == len(expected)
    assert all(any(value is other for other in seen) for value in expected)
    assert after.obs.shape == (K, 2, B, OBS)
    assert after.acting.mean.shape == (K, 2, B, A)
    assert after.first_carry is before.first_carry


def test_select_tasks_takes_all_that_belongs_to_a_task():
    whole_batch = rollout()
    part = whole_batch.select_tasks(slice(1, 3))
    for f in fields(part):
        if f.name not in ("acting", "final", "first_carry", "last_carry"):
            assert torch.equal(getattr(part, f.name), getattr(whole_batch, f.name)[1:3])
    assert torch.equal(part.acting.mean, whole_batch.acting.mean[1:3])
    assert torch.equal(part.final_obs, whole_batch.final_obs[1:3])
    for carry in ("first_carry", "last_carry"):
        assert torch.equal(getattr(part, carry)["memory"]["h"], getattr(whole_batch, carry)["memory"]["h"][1:3])


def test_joined_rollouts_are_one_after_the_other():
    first, second = rollout(), rollout().map(lambda value: value[:, 1:])
    joined = join_rollouts([first, second])
    assert torch.equal(joined.obs, torch.cat([first.obs, first.obs[:, 1:]], 1))
    assert torch.equal(joined.final_obs, torch.cat([first.final_obs, first.final_obs[:, 1:]], 1))
    assert joined.acting.mean.shape == (K, 2 * T - 1, B, A)
    assert joined.first_carry is first.first_carry and joined.last_carry is second.last_carry


def test_selected_advantages():
    advantages = Advantages(Streams(0)["a"].normal((K, T, B)), torch.full((K, T, B), 1 / 8))
    part = advantages.select_tasks(slice(0, 1))
    assert torch.equal(part.advantage, advantages.advantage[:1])
    assert part.weight.shape == (1, T, B)


def test_tasks_keep_their_ids_when_selected():
    tasks = Tasks({"goal": torch.arange(6.0).view(3, 2)}, torch.tensor([10, 20, 30]))
    assert len(tasks) == 3
    picked = tasks.select(torch.tensor([2, 0]))
    assert picked.ids.tolist() == [30, 10]
    assert picked.params["goal"].tolist() == [[4.0, 5.0], [0.0, 1.0]]
    assert tasks.select(torch.tensor([False, True, False])).ids.tolist() == [20]


def test_whole_swaps_steps_and_tasks():
    buffer = torch.arange(T * K * B).view(T, K, B)
    turned = whole(buffer)
    assert turned.is_contiguous()
    assert all(turned[k, t, b] == buffer[t, k, b] for k in range(K) for t in range(T) for b in range(B))


def test_a_step_of_which_nothing_else_is_said_is_idle_in_no_copy():
    flag = torch.zeros(K, B, dtype=torch.bool)
    step = Step(torch.zeros(K, B, OBS), torch.zeros(K, B), flag, flag, flag, torch.zeros(K, B, OBS))
    assert torch.equal(step.idle, flag)
