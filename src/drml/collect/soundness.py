"""Soundness: which episodes of a rollout hold a number that is not to be trusted, and what failed in them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from drml.core.errors import NumericError
from drml.core.fault import Fault, FaultKind
from drml.core.observation import Parts, are_finite, split
from drml.core.types import Rollout, Tasks
from drml.tasks.distribution import content_hashes


def blanked(rollout: Rollout, steps: Tensor) -> Rollout:
    """Return the rollout with zeros in place of all numbers at the given `steps` `[K, T, B]`; flags stay."""

    def blank(x: Tensor) -> Tensor:
        if x.shape[:3] != steps.shape or x.dtype == torch.bool:
            return x
        return x.masked_fill(steps.view(*steps.shape, *(1,) * (x.dim() - 3)), 0)

    return rollout.map(blank)


def elapsed_steps(ended: Tensor) -> Tensor:
    """Return the steps since the start of each episode, `[K, T, B]` int64, from where episodes `ended`."""
    t = torch.arange(ended.shape[1], device=ended.device).view(1, -1, 1)
    starts = torch.where(ended, t + 1, 0)  # an end at t means a start at t + 1
    last_start = torch.cat([torch.zeros_like(starts[:, :1]), starts.cummax(1).values[:, :-1]], 1)
    return t - last_start


def without_unsound_episodes(
    rollout: Rollout, diverged: Tensor, tasks: Tasks, reported: Sequence[Fault] = (), parts: Parts = ()
) -> tuple[Rollout, tuple[Fault, ...]]:
    """Return the rollout with each episode that holds a diverged or non-finite step marked not valid and blanked.

    Args:
        rollout: a rollout.
        diverged: `[K, T, B]` bool from the environment.
        tasks: whose rollout it is.
        reported: what the environment says has failed; the faults that are returned begin with it.
        parts: of the observations, where they are bytes.

    Raises:
        NumericError: if the policy's actions are not finite where the observations are.
    """
    final = rollout.final
    numbers = (*_of_numbers(rollout.obs, parts), *_of_numbers(final.rows, parts), rollout.reward, rollout.log_prob)
    if not bool(diverged.any()) and all(bool(x.sum().isfinite()) for x in numbers):
        return rollout, tuple(reported)
    seen_is_finite, final_is_finite = are_finite(parts, rollout.obs), are_finite(parts, final.rows)[final.at]
    bad = {
        "diverged": diverged,
        "observation": ~seen_is_finite,  # first: what a policy makes of it is not finite either
        "reward": ~rollout.reward.isfinite(),
        "last observation": ~final_is_finite,
    }
    env_is_bad = torch.stack(list(bad.values())).any(0)
    ended = rollout.terminated | rollout.truncated
    unsound = in_same_episode(env_is_bad, ended)
    to_blame = ~unsound | ((rollout.elapsed == 0) & seen_is_finite)  # no simulation ran before a start
    if bool((~rollout.log_prob.isfinite() & to_blame).any()):
        raise NumericError("the policy's actions are not finite: its parameters have diverged; lower the step sizes")

    found = _faults_of_numbers(rollout, bad, ended, tasks, reported)
    return replace(blanked(rollout, unsound), valid=rollout.valid & ~unsound), (*reported, *found)


def _of_numbers(obs: Tensor, parts: Parts) -> list[Tensor]:
    """Return what may not be finite in observations `[..., O]`: bytes are."""
    return (
        [values for part, values in zip(parts, split(parts, obs), strict=True) if part.kind == "numbers"]
        if parts
        else [obs]
    )


def _faults_of_numbers(
    rollout: Rollout, bad: Mapping[str, Tensor], ended: Tensor, tasks: Tasks, reported: Sequence[Fault]
) -> list[Fault]:
    """Return the first bad step of each unsound episode; of tasks that the environment reported nothing is added."""
    told = {fault.row for fault in reported}
    hashes = content_hashes(tasks)
    episode = _episode(ended)
    faults: list[Fault] = []
    for k, t, b in first_in_episode(torch.stack(list(bad.values())).any(0), ended).nonzero().tolist():
        if k in told:
            continue
        what = next(name for name, places in bad.items() if bool(places[k, t, b]))
        step = int(rollout.elapsed[k, t, b])
        kind: FaultKind = "diverged" if what == "diverged" else "not finite"
        at_start = what == "observation" and step == 0
        called = int(what == "observation" and step > 0)  # an observation comes from the call before the step
        faults.append(
            Fault(
                task=hashes[k],
                params=tasks.plain_params(k),
                row=k,
                copy=b,
                episode=int(episode[k, t, b]),
                step=step - called,
                moment="reset" if at_start else "step",
                kind=kind,
                message="" if kind == "diverged" else what,
                action=() if at_start else tuple(rollout.action[k, t - called, b].double().reshape(-1).tolist()),
            )
        )
    return faults


def in_same_episode(marked: Tensor, ended: Tensor) -> Tensor:
    """Return which steps `[K, T, B]` share an episode with a marked step."""
    episode = _episode(ended)
    count = torch.zeros_like(episode).scatter_add_(1, episode, marked.to(torch.int64))
    return count.gather(1, episode) > 0


def first_in_episode(marked: Tensor, ended: Tensor) -> Tensor:
    """Return which marked steps `[K, T, B]` are the first of their episode."""
    so_far = marked.to(torch.int64).cumsum(1)
    before = torch.cat([torch.zeros_like(so_far[:, :1]), so_far[:, :-1]], 1)
    t = torch.arange(marked.shape[1], device=marked.device).view(1, -1, 1)
    return marked & (before == before.gather(1, t - elapsed_steps(ended)))


def _episode(ended: Tensor) -> Tensor:
    """Return the index of each step's episode in its copy, `[K, T, B]`."""
    return ended.to(torch.int64).cumsum(1) - ended.to(torch.int64)
