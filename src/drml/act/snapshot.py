"""Snapshot of an adaptive agent's sessions: all that changes, as tensors by path and a few facts, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from drml.act.experience import Look
from drml.act.learned import Learned
from drml.act.sessions import Acted, Autoreset, Sessions
from drml.core.check import not_finite
from drml.core.distribution import Distribution
from drml.core.errors import CheckpointError, InputError
from drml.core.fields import Fields
from drml.core.observation import are_finite
from drml.core.tree import Params, Tree
from drml.core.types import Agent, FinalObs, Rollout
from drml.run.durable import JSON
from drml.run.leaves import arranged, as_tree, check_leaves, leaves_by_path

_LOOK = tuple(f.name for f in fields(Look))
_APART = ("final", "acting", "first_carry", "last_carry", "success")
_ROLLOUT = (*(f.name for f in fields(Rollout) if f.name not in _APART), "final_obs")


@dataclass(frozen=True)
class Held:
    """All that an adaptive agent holds, apart from what it began with."""

    sessions: Sessions
    acted: Acted | None
    """Action of which nothing came yet."""
    seed: int
    autoreset: Autoreset


def encoded(held: Held) -> tuple[Tree, dict[str, JSON]]:
    """Return what an agent holds as a tree of tensors and facts beside it."""
    sessions, table = held.sessions, _Table([], [])
    agents = [table.add(agent) for agent in sessions.agents]
    before = [None if agent is None else table.add(agent) for agent in sessions.before]
    looks = sessions.experience.looks
    tree: Tree = {
        "ids": sessions.ids,
        "elapsed": torch.from_numpy(sessions.elapsed),
        "ended": torch.from_numpy(sessions.ended),
        "noise": sessions.noise.states(),
        "since": sessions.experience.since,
        "open": sessions.experience.open,
        "running": torch.from_numpy(sessions.tally.running),
        "mixed": torch.from_numpy(sessions.tally.mixed),
        "before": _joined(sessions.tally.before),
        "after": _joined(sessions.tally.after),
        "params": {str(i): dict(params) for i, params in enumerate(table.params)},
        "memo": {str(i): agent.memo for i, agent in enumerate(table.agents)},
        "carry": sessions.carry,
        "kept": {str(k): _rollout_tree(kept) for k, kept in enumerate(sessions.kept) if kept is not None},
    }
    if looks:
        tree["looks"] = {name: torch.stack([getattr(look, name) for look in looks]) for name in _LOOK}
        rows = [_spread(acting, sessions.elapsed.shape) for acting in sessions.experience.acting]
        tree["acting"] = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    if held.acted is not None:
        acted = held.acted
        tree["acted"] = {"obs": acted.obs, "action": acted.action, "carry": acted.carry}
        tree["acted"] |= {"acting": cast(Tree, _spread(acted.distribution, sessions.elapsed.shape))}
    facts: dict[str, JSON] = {
        "seed": held.seed,
        "autoreset": held.autoreset,
        "copies": sessions.elapsed.shape[1],
        "steps": sessions.steps,
        "phase": sessions.noise.phase,
        "drawn": sessions.noise.drawn,
        "predicted": sessions.predicted,
        "agents": agents,
        "before": before,
        "table": [{"params": i, "stacked": agent.stacked} for agent, i in zip(table.agents, table.places, strict=True)],
        "episodes_before": [len(values) for values in sessions.tally.before],
        "episodes_after": [len(values) for values in sessions.tally.after],
        "acted": None if held.acted is None else {"explored": held.acted.explored, "lead": list(held.acted.lead)},
    }
    return tree, facts


class _Table:
    """Agents, each once, and the parameters that they share."""

    def __init__(self, agents: list[Agent], params: list[Params]) -> None:
        self.agents, self.params = agents, params
        self.places: list[int] = []
        """Parameters of each agent, by place."""

    def add(self, agent: Agent) -> int:
        """Return the place of an agent, which is entered if it is new."""
        for place, known in enumerate(self.agents):
            if known is agent:
                return place
        self.agents.append(agent)
        same = (i for i, params in enumerate(self.params) if _is_one(params, agent.params))
        if (found := next(same, None)) is None:
            found = len(self.params)
            self.params.append(agent.params)
        self.places.append(found)
        return len(self.agents) - 1


def _is_one(params: Params, other: Params) -> bool:
    return params.keys() == other.keys() and all(value is other[name] for name, value in params.items())


def _joined(values: Sequence[Sequence[float]]) -> Tensor:
    return torch.tensor([number for row in values for number in row], dtype=torch.float64)


def _spread(acting: Distribution, lead: Sequence[int]) -> dict[str, Tensor]:
    """Return the tensors of acting distributions with all of the axes `lead`; some are one for all of an axis."""
    return {name: value.expand(*lead, *value.shape[len(lead) :]) for name, value in acting.tensors().items()}


def _rollout_tree(rollout: Rollout) -> Tree:
    """Return a rollout without memories as a tree, all leaves `[K, T, B, …]`."""
    tree: Tree = {name: getattr(rollout, name) for name in _ROLLOUT}
    tree |= {} if rollout.success is None else {"success": rollout.success}
    return tree | {"acting": cast(Tree, _spread(rollout.acting, rollout.reward.shape))}


def decoded(learned: Learned, leaves: dict[str, Tensor], facts: Mapping[str, Any], path: Path) -> Held:
    """Return what an agent holds, of the tensors by path and the facts that `encoded` gave.

    Args:
        learned: what the agent began with.
        leaves: tensors by path.
        facts: values beside them.
        path: file of the tensors, named in complaints.

    Raises:
        CheckpointError: if they are not of such an agent.
    """
    try:
        return _Reading(learned, leaves, Fields(f"{path}: its facts", facts, CheckpointError), path).held()
    except (InputError, ValueError) as error:
        raise CheckpointError(f"{path} holds no sessions of this agent: {error}") from error


class _Reading:
    """Reading of one snapshot, with suspicion: a right hash says that it is what somebody wrote, not that it can be."""

    def __init__(self, learned: Learned, leaves: dict[str, Tensor], facts: Fields, path: Path) -> None:
        self._leaves, self._facts, self._path = leaves, facts, path
        ids, copies = self._leaf("ids"), facts.count("copies")
        lead = tuple(self._leaf("elapsed").shape)
        if ids.dtype != torch.int64 or ids.dim() != 1 or lead != (len(ids), copies) or 0 in lead:
            raise ValueError(f"{ids.numel()} sessions of {copies} copies have elapsed of shape {list(lead)}")
        self._blank = Sessions.of(learned, copies, facts.integer("seed"), ids.tolist())
        self._spec = spec = learned.interface.spec
        obs = torch.zeros(*lead, spec.obs_size, dtype=spec.obs_dtype)
        self._acting, carry = learned.policy.step(self._blank.joined().params, obs, self._blank.carry)
        self._shown: Tree = {"obs": obs, "action": self._acting.mode(), "carry": carry, "acting": self._row(lead)}

    def held(self) -> Held:
        """Return what the agent held."""
        facts, sessions = self._facts, self._blank
        self._check()
        agents = self._agents()
        sessions.agents = [agents[self._place(i, agents)] for i in self._by_session("agents")]
        sessions.before = [None if i is None else agents[self._place(i, agents)] for i in self._by_session("before")]
        sessions.steps = [self._count(i) for i in self._by_session("steps")]
        sessions.carry = arranged(sessions.carry, self._branch("carry"))
        phase, drawn = ([self._count(i) for i in self._by_session(name)] for name in ("phase", "drawn"))
        sessions.noise.go_on(phase, drawn, self._leaf("noise"))
        sessions.elapsed, sessions.ended = self._leaf("elapsed").numpy(), self._leaf("ended").numpy()
        sessions.kept = [self._kept(k) for k in range(len(sessions.ids))]
        sessions.predicted = facts.count("predicted")
        self._recall()
        sessions.tally.running, sessions.tally.mixed = self._leaf("running").numpy(), self._leaf("mixed").numpy()
        sessions.tally.before, sessions.tally.after = self._returns("before"), self._returns("after")
        return Held(sessions, self._acted(), facts.integer("seed"), self._autoreset())

    def _autoreset(self) -> Autoreset:
        match self._facts.text("autoreset"):
            case "same_step":
                return "same_step"
            case "next_step":
                return "next_step"
            case other:
                raise self._facts.wrong("same_step or next_step", other, "autoreset")

    def _check(self) -> None:
        """Refuse leaves that are missing, superfluous, of another shape or dtype, or not finite."""
        blank = self._blank
        looks = len(self._leaf("looks/obs")) if "looks/obs" in self._leaves else 0
        expected: Tree = {
            "ids": blank.ids,
            "elapsed": torch.from_numpy(blank.elapsed),
            "ended": torch.from_numpy(blank.ended),
            "noise": blank.noise.states(),
            "since": blank.experience.since,
            "open": blank.experience.open,
            "running": torch.from_numpy(blank.tally.running),
            "mixed": torch.from_numpy(blank.tally.mixed),
            "carry": blank.carry,
            "params": {str(i): cast(Tree, params) for i, params in enumerate(self._params())},
            "memo": as_tree(self._memos()),
            "kept": {name: self._rollout_like(name) for name in {path.split("/")[0] for path in self._branch("kept")}},
        }
        expected |= {name: torch.zeros(sum(self._counts(name)), dtype=torch.float64) for name in ("before", "after")}
        if looks:
            expected["looks"] = self._look_like(looks)
            expected["acting"] = self._row((looks, *blank.elapsed.shape))
        if self._facts.values.get("acted") is not None:
            expected["acted"] = self._shown
        check_leaves(self._path, self._leaves, leaves_by_path(expected))
        inner = {path: leaf for path, leaf in self._leaves.items() if "acting" not in path.split("/")}
        if found := not_finite(dict(inner)) or self._not_finite_in_bytes():
            raise CheckpointError(f"{self._path}: {found}")
        since = self._leaf("since")
        if bool((since < 0).any() or (since > looks).any()):
            raise ValueError(f"of {looks} looks a session begins with number {since.tolist()}")

    def _not_finite_in_bytes(self) -> str:
        """Return what to say of observations that hold numbers which are not finite, where they are rows of bytes."""
        seen = {path: leaf for path, leaf in self._leaves.items() if path.split("/")[-1] in ("obs", "final_obs")}
        found = [path for path, leaf in seen.items() if leaf.dtype == torch.uint8 and not self._are_finite(leaf)]
        return f"{found[0]}: numbers of an observation are not finite" if found else ""

    def _are_finite(self, obs: Tensor) -> bool:
        return bool(are_finite(self._spec.parts, obs).all())

    def _row(self, lead: Sequence[int]) -> Tree:
        """Return tensors like those of acting distributions with these axes before the last."""
        return {name: value.new_empty(*lead, *value.shape[2:]) for name, value in self._acting.tensors().items()}

    def _look_like(self, looks: int) -> Tree:
        return {name: value.new_empty(looks, *value.shape) for name, value in self._step_like().items()}

    def _step_like(self) -> dict[str, Tensor]:
        """Return tensors like those of a look, `[K, B, …]`."""
        obs, number = cast(Tensor, self._shown["obs"]), torch.zeros(self._blank.elapsed.shape)
        flag, count = number.bool(), number.long()
        like = {"obs": obs, "final_obs": obs, "action": cast(Tensor, self._shown["action"]), "reward": number}
        return {**like, "elapsed": count, **dict.fromkeys(("terminated", "truncated", "taken", "explored"), flag)}

    def _rollout_like(self, name: str) -> Tree:
        lead = self._leaf(f"kept/{name}/reward").shape
        if len(lead) != 3 or lead[0] != 1 or not 0 <= int(name) < len(self._blank.ids):
            raise ValueError(f"episodes of session {name} have the axes {list(lead)}")
        step = self._step_like()
        step |= {"log_prob": step["reward"], "valid": step["taken"]}
        like: Tree = {key: step[key].new_empty(*lead, *step[key].shape[2:]) for key in _ROLLOUT}
        like |= {"success": step["taken"].new_empty(*lead)} if f"kept/{name}/success" in self._leaves else {}
        return like | {"acting": self._row(lead)}

    def _params(self) -> list[Params]:
        """Return tensors like the parameters of the table, in order."""
        own, shared = self._blank.agents[0], list[Params]()
        base = {name: value[0] for name, value in own.params.items()} if own.stacked else own.params
        for entry in self._facts.objects("table"):
            place, stacked = entry.count("params"), entry.flag("stacked")
            if place > len(shared):
                raise ValueError(f"an agent has the parameters of number {place}, before those of {len(shared)}")
            if place == len(shared):
                shared.append({name: value[None] if stacked else value for name, value in base.items()})
        return shared

    def _memos(self) -> dict[str, Tensor]:
        """Return the notes of learners by path; of these it is only known that they are of one task each."""
        memos = self._branch("memo")
        for name, leaf in memos.items():
            if leaf.dim() < 1 or len(leaf) != 1:
                raise ValueError(f"leaf 'memo/{name}' has the axes {list(leaf.shape)}, not those of one task")
        return memos

    def _agents(self) -> list[Agent]:
        sets = [self._branch(f"params/{i}") for i in range(len(self._params()))]
        like = self._blank.agents[0].params  # parameters come back in the order that the learner gave them
        return [
            Agent(
                {name: sets[entry.count("params")][name] for name in like},
                memo=as_tree(self._branch(f"memo/{i}")),
                stacked=entry.flag("stacked"),
            )
            for i, entry in enumerate(self._facts.objects("table"))
        ]

    def _kept(self, session: int) -> Rollout | None:
        found = self._branch(f"kept/{session}")
        if not found:
            return None
        acting = self._acting.replace(self._branch(f"kept/{session}/acting"))
        given: dict[str, Any] = {name: found[name] for name in _ROLLOUT if name != "final_obs"}
        final = FinalObs.of_ends(found["final_obs"], found["terminated"] | found["truncated"])
        success = found.get("success")
        return Rollout(**given, final=final, acting=acting, first_carry={}, last_carry={}, success=success)

    def _recall(self) -> None:
        experience, looks, acting = self._blank.experience, self._branch("looks"), self._branch("acting")
        experience.since, experience.open = self._leaf("since"), self._leaf("open")
        for row in range(len(looks["obs"]) if looks else 0):
            experience.looks.append(Look(**{name: looks[name][row] for name in _LOOK}))
            experience.acting.append(self._acting.replace({name: value[row] for name, value in acting.items()}))

    def _acted(self) -> Acted | None:
        if self._facts.values.get("acted") is None:
            return None
        facts, found = self._facts.nested("acted"), self._branch("acted")
        lead = tuple(self._count(size) for size in facts.array("lead"))
        if int(np.prod(lead)) != self._blank.elapsed.size:
            raise facts.wrong("the axes of all sessions and copies", list(lead), "lead")
        acting = self._acting.replace(self._branch("acted/acting"))
        carry = arranged(self._blank.carry, self._branch("acted/carry"))
        return Acted(found["obs"], found["action"], acting, carry, facts.flag("explored"), lead)

    def _returns(self, name: str) -> list[list[float]]:
        return [part.tolist() for part in self._leaf(name).split(self._counts(name))]

    def _counts(self, name: str) -> list[int]:
        return [self._count(i) for i in self._by_session(f"episodes_{name}")]

    def _by_session(self, name: str) -> list[Any]:
        values = self._facts.array(name)
        if len(values) != len(self._blank.ids):
            raise self._facts.wrong(f"one for each of {len(self._blank.ids)} sessions", values, name)
        return values

    def _place(self, value: object, agents: Sequence[Agent]) -> int:
        if (place := self._count(value)) >= len(agents):
            raise ValueError(f"there is no agent {place}")
        return place

    def _count(self, value: object) -> int:
        return Fields(self._path, {"a count": value}, CheckpointError).count("a count")

    def _leaf(self, path: str) -> Tensor:
        if path not in self._leaves:
            raise ValueError(f"leaf '{path}' is missing")
        return self._leaves[path]

    def _branch(self, name: str) -> dict[str, Tensor]:
        start = f"{name}/"
        return {path[len(start) :]: leaf for path, leaf in self._leaves.items() if path.startswith(start)}
