from dataclasses import fields, replace

import pytest
import torch

from drml.collect.collector import Collector
from drml.collect.soundness import elapsed_steps, first_in_episode, in_same_episode
from drml.core.distribution import Gaussian
from drml.core.errors import EnvError, NumericError
from drml.core.fault import Fault
from drml.core.phases import Phases
from drml.core.rng import Streams, task_noise
from drml.core.types import ActionSpec, Agent, EnvSpec, Noise, Step, Tasks
from drml.envs.api import EnvOptions
from drml.policies.mlp import CategoricalMLP, GaussianMLP
from drml.suites.bandit import bandit_suite
from drml.tasks.distribution import content_hashes
from drml.tasks.samplers.uniform import UniformSampler

K, T, B = 3, 7, 2
ID, COPY, EPISODE, STEP = range(4)
SPEC = EnvSpec(4, ActionSpec("continuous", 1), 5)
# per task and copy: the length of its episodes, and whether they end by termination
LENGTH = torch.tensor([[2, 3], [5, 7], [3, 9]])
TERMINATES = torch.tensor([[True, False], [False, True], [True, True]])
TASKS = Tasks({"length": LENGTH, "terminates": TERMINATES}, torch.tensor([30, 10, 20]))
RNG = Streams(1)["rollout"]


class Sentinel:
    """Shows in each observation where it belongs: (task id, copy, episode, step).

    The reward is 100 · episode + step + action. Its tensors are overwritten by the next step, as live simulators' are.
    `faults` maps (id, copy, episode, step) to what goes wrong in that step.
    """

    spec = SPEC

    def __init__(self, faults=None):
        self.faults = faults or {}

    def reset(self, tasks, copies, rng):
        self.length, self.terminates = tasks.params["length"][:, :copies], tasks.params["terminates"][:, :copies]
        self.obs = torch.zeros(len(tasks), copies, 4)
        self.obs[..., ID] = tasks.ids[:, None]
        self.obs[..., COPY] = torch.arange(copies)
        self.clean = self.obs.clone()
        self.reward, self.final_obs = torch.zeros(self.obs.shape[:2]), torch.zeros_like(self.obs)
        return self.obs

    def step(self, action):
        at = self.clean.clone()
        self.reward.copy_(100.0 * at[..., EPISODE] + at[..., STEP] + action[..., 0])
        self.clean[..., STEP] += 1.0
        self.final_obs.copy_(self.clean)
        ended = self.clean[..., STEP] == self.length
        self.clean[..., EPISODE] += ended
        self.clean[..., STEP] *= ~ended
        self.obs.copy_(self.clean)
        diverged = torch.zeros_like(ended)
        for k, b in torch.cartesian_prod(torch.arange(len(at)), torch.arange(at.shape[1])).tolist():
            fault = self.faults.get(tuple(int(x) for x in at[k, b]))
            diverged[k, b] = fault == "diverged"
            if fault in ("obs", "final_obs", "reward"):
                getattr(self, fault)[k, b] = torch.nan
        terminated = ended & self.terminates
        return Step(self.obs, self.reward, terminated, ended & ~self.terminates, diverged, self.final_obs)


class Echo:
    """Acts around the last digits of what it sees, element by element: exactly the same for any batch."""

    noise = Noise("normal", (1,))

    def initial_carry(self, num_tasks, copies):
        return {}

    def step(self, params, obs, carry):
        return Gaussian(0.1 * obs[..., STEP:], torch.zeros(obs.shape[:2]).unsqueeze(-1)), carry

    def remember(self, carry, action, reward, ended):
        return carry


class Counter:
    """Acts by the number of steps that it remembers."""

    noise = Noise("normal", (1,))

    def initial_carry(self, num_tasks, copies):
        return {"steps": torch.zeros(num_tasks, copies)}

    def step(self, params, obs, carry):
        mean = carry["steps"].unsqueeze(-1)
        return Gaussian(mean, torch.zeros_like(mean)), {**carry, "steps": carry["steps"] + 1.0}

    def remember(self, carry, action, reward, ended):
        return {**carry, "action": action, "reward": reward, "ended": ended}


def collect(policy=None, tasks=TASKS, faults=None, params=None, carry=None, steps=T):
    collector = Collector(Sentinel(faults), steps, B, Phases())
    return collector(policy or Echo(), Agent(params or {}, carry or {}), tasks, RNG)


def tensors(rollout):
    """All tensors `[K, T, B, ...]` of a rollout by name."""
    apart = ("acting", "final", "first_carry", "last_carry")
    names = [f.name for f in fields(rollout) if f.name not in apart and getattr(rollout, f.name) is not None]
    return {name: getattr(rollout, name) for name in [*names, "final_obs"]} | rollout.acting.tensors()


def places():
    return [(k, t, b) for k in range(K) for t in range(T) for b in range(B)]


def test_every_field_of_a_rollout():
    rollout = collect()
    noise = task_noise(RNG["action"], TASKS.ids, "normal", (T, B, 1))
    for k, t, b in places():
        task_id, length = int(TASKS.ids[k]), int(LENGTH[k, b])
        episode, step = t // length, t % length
        ended = step == length - 1
        here = (k, t, b)
        assert rollout.obs[here].tolist() == [task_id, b, episode, step]
        assert int(rollout.elapsed[here]) == step
        assert bool(rollout.terminated[here]) == (ended and bool(TERMINATES[k, b]))
        assert bool(rollout.truncated[here]) == (
            (ended and not bool(TERMINATES[k, b])) or (t == T - 1 and not bool(rollout.terminated[here]))
        )
        assert bool(rollout.valid[here])
        final = [task_id, b, episode, step + 1] if ended or t == T - 1 else [0.0] * 4
        assert rollout.final_obs[here].tolist() == final
        mean = torch.tensor(float(step)) * 0.1
        assert rollout.acting.mean[here].tolist() == [mean]
        action = mean + noise[here]
        # mean + 1 · noise and 100 e + s + a, each rounded once: 100 has a spacing of 1e-5 in float32
        torch.testing.assert_close(rollout.action[here], action, rtol=1e-6, atol=1e-7)
        assert float(rollout.reward[here]) == pytest.approx(100.0 * episode + step + float(action), abs=2e-5)
    expected = torch.distributions.Normal(rollout.acting.mean, 1.0).log_prob(rollout.action).sum(-1)
    torch.testing.assert_close(rollout.log_prob, expected)
    assert rollout.first_carry == {}
    for name, value in tensors(rollout).items():
        assert value.shape[:3] == (K, T, B), name


def test_the_cases_of_this_file_are_there():
    rollout = collect()
    ends = rollout.terminated | rollout.truncated
    assert int(ends[0, :, 0].sum()) == 4  # 2 + 2 + 2 and a cut one
    assert bool(rollout.terminated[1, T - 1, 1])  # terminated at the very end of the rollout
    assert not bool(rollout.truncated[1, T - 1, 1])
    assert bool(rollout.truncated[2, T - 1, 1])  # never ends by itself


@pytest.mark.parametrize("fault", ["diverged", "reward", "obs", "final_obs"])
def test_an_unsound_episode_is_blanked_and_no_other(fault):
    # copy 1 of task 30 lives through steps 0 to 2 | 3 to 5 | 6; its second episode goes wrong
    step = 2 if fault == "final_obs" else 1
    before, after = collect(), collect(faults={(30, 1, 1, step): fault})
    unsound = torch.zeros(K, T, B, dtype=torch.bool)
    unsound[0, 3:6, 1] = True
    assert torch.equal(after.valid, ~unsound)
    for name, value in tensors(before).items():
        found = tensors(after)[name]
        assert torch.equal(found[~unsound], value[~unsound]), name
        if value.dtype == torch.bool:
            assert name == "valid" or torch.equal(found, value)
        else:
            assert not found[unsound].any(), name


def test_a_bad_first_observation_spoils_the_episode_that_it_starts():
    # the fault shows in the observation after the last step of episode 0: the first of episode 1
    rollout = collect(faults={(30, 1, 0, 2): "obs"})
    assert (~rollout.valid).nonzero().tolist() == [[0, 3, 1], [0, 4, 1], [0, 5, 1]]


def test_a_bad_final_observation_inside_an_episode_is_not_read():
    assert bool(collect(faults={(30, 1, 1, 1): "final_obs"}).valid.all())


def test_two_faults_in_one_episode_are_one_unsound_episode():
    rollout = collect(faults={(20, 1, 0, 1): "diverged", (20, 1, 0, 4): "reward", (10, 0, 1, 0): "diverged"})
    assert (~rollout.valid).sum((1, 2)).tolist() == [0, 2, 7]


def test_a_task_without_a_sound_episode_spoils_no_other_and_each_lost_episode_is_named():
    faults = {(10, 0, 0, 0): "diverged", (10, 0, 1, 0): "reward", (10, 1, 0, 6): "diverged"}
    collector = Collector(Sentinel(faults), T, B, Phases())
    rollout, found = collector.with_faults(Echo(), Agent({}, {}), TASKS, RNG)
    assert rollout.valid.any((1, 2)).tolist() == [True, False, True]
    named = [(f.task, f.row, f.copy, f.episode, f.step, f.moment, f.kind, f.message) for f in found]
    task = content_hashes(TASKS)[1]
    assert named == [
        (task, 1, 0, 0, 0, "step", "diverged", ""),
        (task, 1, 0, 1, 0, "step", "not finite", "reward"),
        (task, 1, 1, 0, 6, "step", "diverged", ""),
    ]
    healthy = collect()
    assert found[0].action == (pytest.approx(healthy.action[1, 0, 0].item(), abs=0.0),)
    assert found[0].params == {"length": [5, 7], "terminates": [False, True]}
    for name, value in tensors(rollout).items():
        assert torch.equal(value[[0, 2]], tensors(healthy)[name][[0, 2]]), name
    faults.pop((10, 0, 1, 0))
    assert collect(faults=faults).valid[1].sum() == 2


def test_a_bad_observation_is_named_at_the_call_that_gave_it():
    faults = {(30, 1, 0, 2): "obs", (20, 0, 0, 0): "obs", (20, 1, 0, 8): "final_obs"}
    found = Collector(Sentinel(faults), 9, B, Phases()).with_faults(Echo(), Agent({}, {}), TASKS, RNG)[1]
    named = [(f.row, f.copy, f.episode, f.step, f.moment, f.message, len(f.action)) for f in found]
    assert named == [
        (0, 1, 1, 0, "reset", "observation", 0),
        (2, 0, 0, 0, "step", "observation", 1),
        (2, 1, 0, 8, "step", "last observation", 1),
    ]


def test_what_an_environment_reports_is_not_reported_twice():
    told = Fault("hash", {}, 0, 1, 0, 1, "step", "raised", "KeyError: 3")

    class Raising(Sentinel):
        def step(self, action):
            step = super().step(action)
            now = bool(step.final_obs[0, 1, STEP] == 2.0) and bool(step.final_obs[0, 1, EPISODE] == 0.0)
            self.dead = now or getattr(self, "dead", False)
            step.diverged[0] |= self.dead
            return step

        def take_faults(self):
            return (told,)

    rollout, found = Collector(Raising(), T, B, Phases()).with_faults(Echo(), Agent({}, {}), TASKS, RNG)
    assert found == (told,)
    assert rollout.valid[0].int().T.tolist() == [[0] * T, [0] * T]  # the task is out until the next reset
    assert rollout.valid[1:].all()


def test_a_policy_that_is_not_finite_is_blamed_itself():
    policy = GaussianMLP(4, 1, (8,))
    params = policy.init(Streams(0))
    with pytest.raises(NumericError, match="parameters have diverged"):  # the rewards are not finite either
        collect(policy, params=params | {"layer1.bias": torch.tensor([torch.nan])})


def test_an_environment_that_diverges_is_not_blamed_on_the_policy():
    class Overflowing(Echo):
        def step(self, params, obs, carry):
            distribution, carry = super().step(params, obs, carry)
            return Gaussian(distribution.mean / (obs[..., :1] != 31.0), distribution.log_std), carry

    class Strange(Sentinel):
        def step(self, action):
            step = super().step(action)
            if bool((self.clean[0, 1] == torch.tensor([30.0, 1.0, 1.0, 2.0])).all()):
                step.obs[0, 1, 0] = 31.0  # finite, but of a simulation that has diverged
                step.diverged[0, 1] = True
            return step

    rollout = Collector(Strange(), T, B, Phases())(Overflowing(), Agent({}, {}), TASKS, RNG)
    assert (~rollout.valid).nonzero().tolist() == [[0, 3, 1], [0, 4, 1], [0, 5, 1]]
    assert bool(rollout.log_prob.isfinite().all())


def test_the_data_of_a_task_do_not_depend_on_the_tasks_beside_it():
    together = tensors(collect())
    for index in ([0], [2, 1], [1, 2, 0]):
        apart = tensors(collect(tasks=TASKS.select(torch.tensor(index))))
        for name, value in together.items():
            assert torch.equal(apart[name], value[index]), name


@pytest.mark.parametrize("stacked", [False, True])
def test_the_data_of_a_task_hardly_depend_on_the_tasks_beside_it_under_a_network(stacked):
    # the kernels of matrix products differ with the size of the batch: 16 terms of 6e-8, times actions of size 1
    policy = GaussianMLP(4, 1, (16,))
    shared = policy.init(Streams(0))
    shared["layer0.weight"] /= 30.0  # task ids are up to 30
    params = {n: p.expand(K, *p.shape) * torch.arange(1.0, 4.0).view(-1, *[1] * p.dim()) for n, p in shared.items()}
    together = tensors(collect(policy, params=params if stacked else shared))
    index = [2, 0]
    some = {name: value[index] for name, value in params.items()} if stacked else shared
    apart = tensors(collect(policy, tasks=TASKS.select(torch.tensor(index)), params=some))
    for name, value in together.items():
        tolerance = 3e-5 if name == "reward" else 1e-6  # rewards are up to 300, whose spacing is 3e-5
        torch.testing.assert_close(apart[name], value[index], rtol=1e-6, atol=tolerance, msg=name)


def test_a_rollout_of_a_shared_policy_can_be_split_by_tasks():
    policy = GaussianMLP(4, 1, (8,))
    rollout = collect(policy, params=policy.init(Streams(0)))
    part = rollout.select_tasks(slice(1, 3))
    torch.testing.assert_close(part.acting.log_prob(part.action), rollout.log_prob[1:3])


def test_the_same_numbers_whenever_it_is_asked():
    first, again = tensors(collect()), tensors(collect())
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = Collector(Sentinel(), T, B, Phases())(Echo(), Agent({}, {}), TASKS, Streams(2)["rollout"])
    assert not torch.equal(other.action, first["action"])


def test_the_carry_flows_from_step_to_step_and_its_start_is_kept():
    rollout = collect(Counter())
    assert torch.equal(rollout.acting.mean[..., 0], torch.arange(7.0).view(1, T, 1).expand(K, T, B))
    assert torch.equal(rollout.first_carry["steps"], torch.zeros(K, B))
    later = collect(Counter(), carry={"steps": torch.full((K, B), 10.0)})
    assert torch.equal(later.acting.mean[..., 0], rollout.acting.mean[..., 0] + 10.0)
    assert torch.equal(later.first_carry["steps"], torch.full((K, B), 10.0))


def test_what_came_of_each_action_is_remembered_up_to_the_last():
    rollout = collect(Counter())
    last = rollout.last_carry
    assert torch.equal(last["steps"], torch.full((K, B), float(T)))
    assert torch.equal(last["action"], rollout.action[:, -1])
    assert torch.equal(last["reward"], rollout.reward[:, -1])
    assert torch.equal(last["ended"], (rollout.terminated | rollout.truncated)[:, -1])
    assert last["ended"].all()  # looking ended, whatever the environment says


def test_discrete_actions_are_drawn_by_their_probabilities():
    suite = bandit_suite(3, 5)
    tasks = UniformSampler().sample({}, suite.tasks, "train", 2, Streams(0)["tasks"])
    policy = CategoricalMLP(suite.spec.obs_size, 3, ())
    log_p = torch.tensor([0.5, 0.3, 0.2]).log()
    params = {name: torch.zeros_like(value) for name, value in policy.init(Streams(0)).items()} | {"layer0.bias": log_p}
    rollout = Collector(suite.make(EnvOptions()), 5, 400, Phases())(policy, Agent(params, {}), tasks, RNG)
    assert rollout.action.dtype == torch.int64
    assert rollout.action.shape == rollout.log_prob.shape == (2, 5, 400)
    torch.testing.assert_close(rollout.log_prob, log_p[rollout.action])
    # standard error of a frequency of n = 4000 draws is at most 0.5/√n; four of them
    frequency = rollout.action.flatten().bincount(minlength=3) / 4000
    assert float((frequency - log_p.exp()).abs().max()) < 4 * 0.5 / 4000**0.5


def test_one_step():
    rollout = collect(steps=1)
    assert rollout.obs.shape == (K, 1, B, 4)
    assert bool((rollout.truncated ^ rollout.terminated).all())


def test_phases_know_where_the_time_went():
    phases = Phases()
    Collector(Sentinel(), T, B, phases)(Echo(), Agent({}, {}), TASKS, RNG)
    assert set(phases.seconds) == {"reset", "policy", "env", "record"}
    assert all(seconds > 0.0 for seconds in phases.seconds.values())


def test_elapsed_steps_by_hand():
    ended = torch.tensor([[0, 0, 1, 0, 1, 1, 0]], dtype=torch.bool).unsqueeze(-1)
    assert elapsed_steps(ended).flatten().tolist() == [0, 1, 2, 0, 1, 0, 0]
    assert elapsed_steps(torch.zeros(1, 3, 1, dtype=torch.bool)).flatten().tolist() == [0, 1, 2]


def test_steps_that_share_an_episode_by_hand():
    ended = torch.tensor([[0, 0, 1, 0, 1, 1, 0]], dtype=torch.bool).unsqueeze(-1)
    marked = torch.tensor([[0, 1, 0, 0, 0, 1, 0]], dtype=torch.bool).unsqueeze(-1)
    assert in_same_episode(marked, ended).int().flatten().tolist() == [1, 1, 1, 0, 0, 1, 0]


def test_first_marks_of_each_episode_by_hand():
    ended = torch.tensor([[0, 0, 1, 0, 1, 1, 0]], dtype=torch.bool).unsqueeze(-1)
    marked = torch.tensor([[0, 1, 1, 1, 1, 0, 1]], dtype=torch.bool).unsqueeze(-1)
    assert first_in_episode(marked, ended).int().flatten().tolist() == [0, 1, 0, 1, 0, 0, 1]


class Pausing:
    """The sentinel, but after the end of an episode a copy takes one idle step before it is at the next start."""

    spec = SPEC

    def __init__(self):
        self.inner = Sentinel()

    def reset(self, tasks, copies, rng):
        self.held = self.inner.reset(tasks, copies, rng).clone()  # what a copy will see after its idle step
        self.idle = torch.zeros(self.held.shape[:2], dtype=torch.bool)
        return self.held.clone()

    def step(self, action):
        idle, clean = self.idle, self.inner.clean.clone()
        step = self.inner.step(action)
        self.inner.clean[idle] = clean[idle]
        obs = torch.where(idle.unsqueeze(-1), self.held, step.obs)
        ended = (step.terminated | step.truncated) & ~idle
        self.held[ended] = step.obs[ended]
        obs[ended] = step.final_obs[ended]
        self.idle = ended
        reward = step.reward.masked_fill(idle, 1e6)  # to be dropped
        return Step(obs, reward, step.terminated & ~idle, step.truncated & ~idle, step.diverged, step.final_obs, idle)


class Diary(Counter):
    """Acts by the number of steps that it remembers, and remembers the sums of all that it is told."""

    def initial_carry(self, num_tasks, copies):
        return {name: torch.zeros(num_tasks, copies) for name in ("steps", "action", "reward", "ended")}

    def remember(self, carry, action, reward, ended):
        seen = {"action": action[..., 0], "reward": reward, "ended": ended}
        return {**carry, **{name: 2.0 * carry[name] + value for name, value in seen.items()}}


@pytest.mark.parametrize("policy", [Echo, Diary])
def test_idle_steps_leave_no_trace(policy):
    collector = Collector(Pausing(), T, B, Phases())
    paused = collector(policy(), Agent({}, {}), TASKS, RNG)
    straight = collect(policy())
    assert straight.elapsed.eq(0).sum() > K * B, "some episodes start within the rollout"
    for name, tensor in tensors(straight).items():
        assert torch.equal(tensor, tensors(paused)[name]), name
    for name, leaf in straight.last_carry.items():
        assert torch.equal(leaf, paused.last_carry[name]), name


def test_a_memory_that_holds_one_rollout_is_not_asked_to_hold_idle_steps():
    class Full(Diary):
        def step(self, params, obs, carry):
            assert bool((carry["steps"] < T).all())
            return super().step(params, obs, carry)

    Collector(Pausing(), T, B, Phases())(Full(), Agent({}, {}), TASKS, RNG)


def test_an_environment_that_stays_idle_is_refused():
    class Stuck(Sentinel):
        def step(self, action):
            step = super().step(action)
            return replace(step, idle=torch.ones(K, B, dtype=torch.bool))

    with pytest.raises(EnvError, match="stays idle"):
        Collector(Stuck(), T, B, Phases())(Echo(), Agent({}, {}), TASKS, RNG)


def waited(policy=None, faults=None, tasks=TASKS, steps=T):
    return Collector(Sentinel(faults), steps, B, Phases(), one_episode=True)(
        policy or Echo(), Agent({}, {}), tasks, RNG
    )


def test_a_copy_waits_once_its_one_episode_has_ended():
    rollout, usual = waited(), collect()
    first = usual.elapsed == torch.arange(T).view(1, -1, 1)  # no episode has ended before
    assert first.sum((1,)).tolist() == LENGTH.clamp_max(T).tolist()  # by hand: an episode each, or as much as fits
    assert torch.equal(rollout.taken, first) and torch.equal(rollout.valid, first)
    assert rollout.env_steps == int(LENGTH.clamp_max(T).sum())
    for name, tensor in tensors(rollout).items():
        shown = first.view(*first.shape, *(1,) * (tensor.dim() - 3))
        if name not in ("valid", "taken"):
            assert torch.equal(tensor, tensors(usual)[name].masked_fill(~shown, 0)), name
    assert rollout.ended.sum(1).eq(1).all()


def test_looking_ends_with_the_last_episode():
    tasks = TASKS.select(torch.tensor([0]))  # episodes of 2 and 3 steps
    rollout = waited(tasks=tasks)
    assert rollout.taken[0].tolist() == [[True, True], [True, True], [False, True]]
    assert torch.equal(rollout.obs[0, :3, 1], waited().obs[0, :3, 1])


def test_a_memory_knows_nothing_of_waiting():
    rollout = waited(Diary())
    for k in range(K):
        for b in range(B):
            alone = collect(Diary(), steps=min(int(LENGTH[k, b]), T))  # it ends as the episode does
            for name, leaf in alone.last_carry.items():
                assert torch.equal(rollout.last_carry[name][k, b], leaf[k, b]), (name, k, b)


@pytest.mark.parametrize("fault", ["diverged", "obs", "final_obs", "reward"])
def test_what_happens_to_a_copy_that_waits_is_no_fault(fault):
    collector = Collector(Sentinel({(30, 0, 1, 0): fault}), T, B, Phases(), one_episode=True)
    rollout, faults = collector.with_faults(Echo(), Agent({}, {}), TASKS, RNG)
    assert faults == () and not rollout.unsound.any()
    for name, tensor in tensors(waited()).items():
        assert torch.equal(tensor, tensors(rollout)[name]), name


def test_an_unsound_episode_before_waiting_is_dropped_and_was_taken():
    rollout = waited(faults={(30, 0, 0, 1): "diverged"})
    assert rollout.taken[0, :, 0].tolist() == [True] * 2 + [False] * 5
    assert rollout.unsound[0, :, 0].tolist() == [True] * 2 + [False] * 5
    assert rollout.unsound.sum() == 2


def test_where_every_episode_has_the_rollouts_length_waiting_changes_no_bit():
    tasks = Tasks({"length": torch.full((K, B), T), "terminates": TERMINATES}, TASKS.ids)
    once, usual = waited(Diary(), tasks=tasks), collect(Diary(), tasks=tasks)
    for name, tensor in tensors(usual).items():
        assert torch.equal(tensor, tensors(once)[name]), name
    assert all(torch.equal(once.last_carry[name], leaf) for name, leaf in usual.last_carry.items())
