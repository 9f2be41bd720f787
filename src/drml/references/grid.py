"""The Bayes-optimal play of gridnavi, by exact search.

While the goal is not found, all that is known is which cells were seen without it, and nothing else can be learned: the
best behaviour is one fixed path, interrupted by the resets, and left for good where the goal is found. From then on
the best is to stay on the goal, and to walk straight to it in later episodes. With H steps, E episodes and the goal c
first entered at step τ of episode e (both from 1), at distance d from the start,

    return of episode e is ρ(τ) = (H − τ + 1) − 0.1 (τ − 1), before it −0.1 H each, after it ρ(d) each

so a path is worth the mean over c of −0.1 H (e − 1) + ρ(τ) + (E − e) ρ(d), which is linear in what is first seen when.
Dynamic programming goes forward over (position, cells seen), step by step, keeping the best path to each; states that
cannot reach the value of a known path, even if each further step showed a new cell, are dropped.

Source: Zintgraf et al., 2020, "VariBAD: a very good method for Bayes-adaptive deep RL via meta-learning", section 5.1,
for the problem; Bertsekas, 2017, "Dynamic programming and optimal control", for forward search with bounds.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import torch
from torch import Tensor

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.envs.api import EnvOptions
from drml.suites.grid import GOAL_REWARD, MOVES, STEP_REWARD, Cell, cells, goal_cells, grid_navi_suite

BEAM = 500  # states kept per step by the first search, which only has to find a good path
MAX_STATES = 5_000_000  # kept at one step; 5 x 5 cells need far fewer
MAX_SIZE = 7  # so that the goals seen, a bit each, and the cell fit into 63 bits
TOLERANCE = 1e-9  # on sums of less than a thousand numbers below 100 in float64


@final
@dataclass(frozen=True)
class GridSearch:
    """The best way to search for the goal, and what it earns."""

    size: int
    """Cells per side."""
    horizon: int
    """H, steps per episode."""
    returns: np.ndarray
    """`[goals, E]` the return of each episode, for each goal, in the order of `goal_cells`."""
    path: tuple[Cell, ...]
    """Cells after each step as long as the goal is not found; each H steps they start again from (0, 0)."""

    @property
    def expected_returns(self) -> np.ndarray:
        """Return the expected return of each episode, `[E]`."""
        return self.returns.mean(0)


def bayes_optimal_search(size: int = 5, horizon: int = 15, episodes: int = 4) -> GridSearch:
    """Return the behaviour with the largest expected total return over E episodes of one task.

    With the defaults this takes seconds.

    Args:
        size: cells per side, 3 to 7.
        horizon: H, steps per episode.
        episodes: E.

    Raises:
        InputError: if `size` is not 3 to 7, `horizon` or `episodes` < 1, or the search grows too large.
    """
    if not 3 <= size <= MAX_SIZE or horizon < 1 or episodes < 1:
        raise InputError(
            f"bayes_optimal_search: size {size}, horizon {horizon}, episodes {episodes}; expected "
            f"3 <= size <= {MAX_SIZE} and at least 1 step and episode"
        )
    problem = _Problem(size, horizon, episodes)
    known = problem.worth(_search(problem, floor=-np.inf, beam=BEAM))
    path = _search(problem, floor=known - TOLERANCE, beam=None)
    path = path[: 1 + max(path.index(goal) for goal in goal_cells(size) if goal in path)]
    return GridSearch(size, horizon, problem.returns(path), path)


def informed_returns(size: int = 5, horizon: int = 15) -> np.ndarray:
    """Return ρ(d) `[goals]`, what one episode pays if the goal is known, for each goal in the order of `goal_cells`."""
    return _Problem(size, horizon, 1).known


def follow(search: GridSearch, tasks: Tasks, rng: Streams) -> Tensor:
    """Return what a search earns in the environment in each episode of each task, `[K, E]`.

    It knows positions and rewards alone: where a step pays 1 the goal is.
    """
    env = grid_navi_suite("gridnavi", search.size, search.horizon).make(EnvOptions())
    position = env.reset(tasks, 1, rng)[:, 0].long()  # [K, 2]
    goal, found = torch.zeros_like(position), torch.zeros(len(tasks), dtype=torch.bool)
    returns = torch.zeros(len(tasks), search.returns.shape[1])
    for t in range(search.horizon * search.returns.shape[1]):
        planned = torch.tensor(search.path[t] if t < len(search.path) else (0, 0))
        target = torch.where(found[:, None], goal, planned)
        step = env.step(_towards(target - position).unsqueeze(1))
        position, reached = step.obs[:, 0].long(), step.final_obs[:, 0].long()
        pays = step.reward[:, 0] > 0.0
        goal, found = torch.where(pays[:, None], reached, goal), found | pays
        returns[:, t // search.horizon] += step.reward[:, 0]
    return returns


def _towards(offset: Tensor) -> Tensor:
    """Return the actions `[K]` that shorten the offsets `[K, 2]`: first along x, then along y."""
    along_x, along_y = offset.sign().unbind(-1)
    horizontal = torch.where(along_x > 0, 2, 4)
    vertical = torch.where(along_y > 0, 1, 3)
    return torch.where(along_x != 0, horizontal, torch.where(along_y != 0, vertical, 0))


@final
class _Problem:
    """Problem that is searched: the grid, and what it is worth to see a cell first at a given step."""

    def __init__(self, size: int, horizon: int, episodes: int) -> None:
        self.size, self.horizon, self.episodes = size, horizon, episodes
        self.goals = np.array(goal_cells(size))  # [goals, 2]
        index_of = {cell: i for i, cell in enumerate(cells(size))}
        self.goal_at = np.full(len(index_of), -1)
        self.goal_at[[index_of[x, y] for x, y in goal_cells(size)]] = np.arange(len(self.goals))
        reached = np.clip(np.array(cells(size))[:, None] + np.array(MOVES), 0, size - 1)  # [cells, 5, 2]
        self.neighbours = reached[..., 0] * size + reached[..., 1]
        step = np.arange(1, horizon + 1)
        self.found = (horizon - step + 1) * GOAL_REWARD + (step - 1) * STEP_REWARD  # ρ
        distance = self.goals.sum(1)
        within = distance <= horizon
        self.known = np.where(within, self.found[np.where(within, distance, 1) - 1], horizon * STEP_REWARD)  # [goals]

    def gain(self, t: int) -> np.ndarray:
        """Return the total return if the goal is first entered with step t (from 0), for each goal, `[goals]`."""
        episode, step = divmod(t, self.horizon)
        before = episode * self.horizon * STEP_REWARD
        return before + self.found[step] + (self.episodes - episode - 1) * self.known

    def returns(self, path: tuple[Cell, ...]) -> np.ndarray:
        """Return the return of each episode for each goal, `[goals, E]`."""
        returns = np.full((len(self.goals), self.episodes), self.horizon * STEP_REWARD)
        for k, goal in enumerate(self.goals.tolist()):
            if tuple(goal) in path:
                episode, step = divmod(path.index(tuple(goal)), self.horizon)
                returns[k, episode] = self.found[step]
                returns[k, episode + 1 :] = self.known[k]
        return returns

    def worth(self, path: tuple[Cell, ...]) -> float:
        """Return the sum over goals of the total return."""
        return float(self.returns(path).sum())

    @cached_property
    def promise(self) -> np.ndarray:
        """Return max(ρ(d), 0), `[goals]`."""
        return np.maximum(self.known, 0.0)

    def hope(self, t: int) -> np.ndarray:
        """Return what u unseen goals can add at most from step t on, but for m Σ max(ρ(d), 0), `[u]`; m as below.

        Each step shows one goal. If k goals are seen within this episode, of which m = E − e − 1 later ones remain, and
        the others later, these lose one ρ(d) each, which is at least the smallest.
        """
        episode, step = divmod(t, self.horizon)
        now = episode * self.horizon * STEP_REWARD + self.found[step:]
        starts = np.arange(episode + 1, self.episodes) * self.horizon * STEP_REWARD
        later = np.sort((starts[:, None] + self.found).ravel())[::-1]
        nothing = np.full(len(self.goals), self.episodes * self.horizon * STEP_REWARD)
        later = np.concatenate([later, nothing])
        loss = self.promise.min() if episode + 1 < self.episodes else 0.0
        sums_now, sums_later = (np.concatenate([[0.0], values.cumsum()]) for values in (now, later - loss))
        count = range(len(self.goals) + 1)
        return np.array([max(sums_now[k] + sums_later[u - k] for k in range(min(u, len(now)) + 1)) for u in count])


@dataclass(frozen=True)
class _Layer:
    """The states after some steps."""

    cell: np.ndarray
    """`[N]` indices of the cells entered last."""
    seen: np.ndarray
    """`[N]` int64, a bit for each goal."""
    value: np.ndarray
    """`[N]` what the goals seen add to the sum of total returns."""
    parent: np.ndarray
    """`[N]` the state of the layer before that this came from."""


def _search(problem: _Problem, floor: float, beam: int | None) -> tuple[Cell, ...]:
    """Return the best path, among those worth at least `floor` and, with a beam, among the most hopeful ones."""
    zero = np.zeros(1, np.int64)
    layers = [_Layer(zero, zero, np.zeros(1), zero)]
    for t in range(problem.horizon * problem.episodes):
        if bool((layers[-1].seen == 2 ** len(problem.goals) - 1).all()):
            break
        layer = _advance(problem, layers[-1], t)
        bound = layer.value + _hope(problem, layer.seen, t + 1)
        kept = np.flatnonzero(bound >= floor)
        if beam is not None and len(kept) > beam:
            kept = kept[np.argpartition(-bound[kept], beam)[:beam]]
        if len(kept) > MAX_STATES:
            raise InputError(f"gridnavi search: more than {MAX_STATES} states at step {t}; ask for a smaller grid")
        layers.append(_Layer(layer.cell[kept], layer.seen[kept], layer.value[kept], layer.parent[kept]))
    final_value = layers[-1].value + _hope(problem, layers[-1].seen, len(layers) - 1)
    return _trace(problem, layers, int(final_value.argmax()))


def _advance(problem: _Problem, layer: _Layer, t: int) -> _Layer:
    """Return the states after step t: of those alike, the one of largest value."""
    begins = layer.cell * (t % problem.horizon > 0)  # 0 where an episode starts
    cell = problem.neighbours[begins].T.ravel()  # [5 N]
    parent = np.tile(np.arange(len(layer.cell)), len(MOVES))
    goal = problem.goal_at[cell]
    bit = np.where(goal >= 0, np.int64(1) << np.maximum(goal, 0), 0)
    is_new = (bit & ~layer.seen[parent]) != 0
    value = layer.value[parent] + np.where(is_new, problem.gain(t)[goal], 0.0)
    seen = layer.seen[parent] | bit
    key = seen * len(problem.goal_at) + cell
    order = np.lexsort((-value, key))
    first = order[np.diff(key[order], prepend=-1) != 0]
    return _Layer(cell[first], seen[first], value[first], parent[first])


def _hope(problem: _Problem, seen: np.ndarray, t: int) -> np.ndarray:
    """Return an upper bound `[N]` on what the unseen goals add, exact where no step is left."""
    num_unseen, promise = np.zeros(len(seen), np.int64), np.zeros(len(seen))
    for goal, value in enumerate(problem.promise):
        is_unseen = (seen >> goal & 1) == 0
        num_unseen += is_unseen
        promise += is_unseen * value
    if t == problem.horizon * problem.episodes:
        return num_unseen * (t * STEP_REWARD)
    return problem.hope(t)[num_unseen] + (problem.episodes - t // problem.horizon - 1) * promise


def _trace(problem: _Problem, layers: list[_Layer], index: int) -> tuple[Cell, ...]:
    """Return the cells entered by the steps that lead to a state of the last layer."""
    path: list[Cell] = []
    for layer in reversed(layers[1:]):
        path.append(divmod(int(layer.cell[index]), problem.size))
        index = int(layer.parent[index])
    return tuple(reversed(path))
