"""Makes recordings, in the child process: the one place where the user's environments are called."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, final

import gymnasium as gym
import numpy as np

from drml.check.actions import Actions
from drml.check.evidence import Plan, Problem, Recording, Stop, Where
from drml.check.handed import Handed
from drml.check.look import (
    as_numbers,
    bounds_problem,
    digests,
    flags_problem,
    form_problem,
    largest_bounds,
    numeric_attributes,
    observation_problem,
    reward_problem,
    same_numbers,
    space_note,
    spaces_problem,
)
from drml.check.own_modules import outside_state
from drml.check.plans import BASE
from drml.check.subject import Subject
from drml.check.surroundings import Surroundings
from drml.core.blame import raised, torch_modes, undone
from drml.core.errors import InputError
from drml.envs.foreign.answers import only
from drml.envs.foreign.copies import AnyEnv, Options
from drml.envs.foreign.limits import time_limit
from drml.spaces.observations import Layout, observations

Task = Mapping[str, np.ndarray]

WARM_UP_STEPS = 60
STEPS_BEYOND_THE_END = 3
WARM_UP_SEED = 99
MAX_LIVES = 3  # tasks that an instance has seen before
WATCHED_MOMENTS = 3  # of attributes: after make, and after two resets


class Stopped(Exception):  # noqa: N818 — the end of a recording, not of the program
    """An environment raised; carries the `Stop`."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop.message)
        self.stop = stop


@final
@dataclass(frozen=True)
class _Lent:
    """An environment, and the options of its resets."""

    env: AnyEnv
    options: Options | None


@final
@dataclass
class _Log:
    """A recording as it grows."""

    obs: list[np.ndarray] = field(default_factory=list[np.ndarray])
    digest: list[int] = field(default_factory=list[int])
    moments: list[tuple[float, bool, bool, int, int]] = field(default_factory=list[tuple[float, bool, bool, int, int]])
    """Reward, terminated, truncated, episode and step of each moment."""
    problems: dict[str, Problem] = field(default_factory=dict[str, Problem])
    handed: Handed = field(default_factory=Handed)

    def note(self, kind: Any, value: str) -> None:  # noqa: ANN401 — one of Problem's kinds
        """Keep the first problem of each kind, at the moment that is added next."""
        if value and kind not in self.problems:
            self.problems[kind] = Problem(kind, len(self.moments), value)

    def recording(self, plan: Plan) -> Recording:
        """Return what was added so far."""
        reward, terminated, truncated, episode, step = zip(*self.moments, strict=True) if self.moments else ([],) * 5
        width = max(map(len, self.obs), default=0)
        obs = [numbers if len(numbers) == width else np.full(width, np.nan) for numbers in self.obs]
        return Recording(
            plan,
            {},
            obs=np.array(obs).reshape(len(obs), width),
            digest=np.array(self.digest, np.int64),
            reward=np.array(reward, np.float64),
            terminated=np.array(terminated, np.bool_),
            truncated=np.array(truncated, np.bool_),
            episode=np.array(episode, np.int64),
            step=np.array(step, np.int64),
            problems=tuple(self.problems.values()),
        )


@final
class Recorder:
    """Carries out plans.

    Args:
        subject: whose environments.
        steps: steps per recording.
        announce: told of each call before it is made, so that another process can tell where one hangs.
    """

    def __init__(self, subject: Subject, steps: int, announce: Callable[[Where], None]) -> None:
        self._subject, self._steps = subject, steps
        self.announce = announce
        """Listener that is told of each call before it is made."""
        self._surroundings = Surroundings()
        self._surroundings.install()
        limit = steps // 2 + steps % 2  # at least two episodes
        self._max_length = min(subject.horizon or limit, limit)

    def call(self, where: Where, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Call the user's code.

        Raises:
            Stopped: it raised.
        """
        self.announce(where)
        self._surroundings.inside = where.call
        before = torch_modes()
        try:
            answer = function(*args, **kwargs)
        except BaseException as error:
            message, line = raised(error)
            raise Stopped(Stop(where, "raised", message, line)) from error
        finally:
            changed = undone(before)
            self._surroundings.inside = None
        if changed:
            raise Stopped(Stop(where, "raised", changed))
        return answer

    def record(self, plan: Plan) -> Recording:
        """Carry out a plan."""
        self._surroundings.begin(plan.global_seed, plan.clock)
        outside = outside_state() if plan == BASE else {}
        log = _Log()
        facts: dict[str, Any] = {}
        stop = None
        try:
            env = self._make(plan)
            options = self._give(plan, env)
            self._check_spaces(plan, env)
            facts = self.call(Where(plan, "make"), _facts, env, self._subject.tasks[plan.task])
            other = self._other(plan)
            if plan.warm_up:
                self._live(plan, env)
                options = self._give(plan, env)
            self._run(plan, _Lent(env, options), log, facts, other)
            facts["made_generators"] = self._surroundings.made_generators()
            for instance in (env, other):
                if instance is not None:
                    self.call(Where(plan, "close"), instance.close)
        except Stopped as stopped:
            stop = stopped.stop
        drew, later = self._surroundings.drew_global(), outside_state() if outside else {}
        changed = tuple(name for name, state in outside.items() if later.get(name) != state)
        return replace(log.recording(plan), stop=stop, drew_global=drew, outside=changed, **facts)

    def _make(self, plan: Plan) -> AnyEnv:
        return self.call(Where(plan, "make"), self._subject.make, self._subject.tasks[plan.task])

    def _check_spaces(self, plan: Plan, env: AnyEnv) -> None:
        where = Where(plan, "spaces")
        if problem := self.call(where, spaces_problem, env):
            raise Stopped(Stop(where, "raised", problem))

    def _give(self, plan: Plan, env: AnyEnv) -> Options | None:
        """Turn an environment to the plan's task, where that is how it gets one; return the options of its resets."""
        if self._subject.turn is None:
            return None
        return self.call(Where(plan, "make"), self._subject.turn, env, self._subject.tasks[plan.task])

    def _other(self, plan: Plan) -> AnyEnv | None:
        """Return a second instance at the start of an episode, where the plan has one."""
        if plan.beside < 0:
            return None
        beside = replace(plan, task=plan.beside)
        env = self._make(beside)
        options = self._give(beside, env)
        self.call(Where(beside, "reset"), env.reset, seed=WARM_UP_SEED, options=options)
        env.action_space.seed(0)
        return env

    def _live(self, plan: Plan, env: AnyEnv) -> None:
        """Let an instance live through episodes of another seed, and of other tasks where it can be turned to them."""
        others = range(1, min(len(self._subject.tasks), 1 + MAX_LIVES)) if self._subject.turn else ()
        for task in others or [plan.task]:
            before = replace(plan, task=task)
            self._live_once(before, _Lent(env, self._give(before, env)))

    def _live_once(self, plan: Plan, lent: "_Lent") -> None:
        """Play some episodes and step the environment beyond their end: it may raise there."""
        env, beyond = lent.env, 0
        actions = Actions(env.action_space, "corners")
        self.call(Where(plan, "reset"), env.reset, seed=WARM_UP_SEED, options=lent.options)
        actions.begin(WARM_UP_SEED)
        for step in range(WARM_UP_STEPS):
            with suppress(Stopped):
                answer = self.call(Where(plan, "step", 0, step), env.step, actions.at(step))
                beyond += bool(beyond or answer[2] or answer[3])
            if beyond > STEPS_BEYOND_THE_END:
                self.call(Where(plan, "reset"), env.reset, options=lent.options)
                beyond = 0

    def _run(self, plan: Plan, lent: "_Lent", log: _Log, facts: dict[str, Any], other: AnyEnv | None) -> None:
        env = lent.env
        actions = Actions(env.action_space, plan.style)
        episode, step = 0, 0
        self._reset(plan, lent, log, facts, 0)
        actions.begin(0)
        for _ in range(self._steps):
            action = actions.at(step)
            log.handed.add_action(action)
            answer = self.call(Where(plan, "step", episode, step), env.step, action)
            step += 1
            _add(plan, env, log, answer, (episode, step))
            if other is not None:
                with suppress(Stopped):  # its end was reached, perhaps
                    self.call(Where(plan, "step", episode, step), other.step, other.action_space.sample())
            if log.moments[-1][1] or log.moments[-1][2] or step >= self._max_length:
                episode, step = episode + 1, 0
                self._reset(plan, lent, log, facts, episode)
                actions.begin(episode)

    def _reset(self, plan: Plan, lent: "_Lent", log: _Log, facts: dict[str, Any], episode: int) -> None:
        env = lent.env
        where = Where(plan, "reset", episode)
        seed = {} if episode else {"seed": plan.seed}
        answer = self.call(where, env.reset, **seed, options=lent.options)
        if not (isinstance(answer, tuple) and len(answer) == 2):
            raise Stopped(Stop(where, "raised", f"reset returned {_kind(answer)}, expected (observation, info)"))
        obs, info = answer
        _note_obs(log, env, obs)
        log.note("flags", flags_problem(False, False, info))
        numbers, digest = as_numbers(env.observation_space, obs)
        log.obs.append(numbers)
        log.digest.append(digest)
        log.moments.append((0.0, False, False, episode, 0))
        _look_after_reset(env, self._subject.tasks[plan.task], facts)


def _add(plan: Plan, env: AnyEnv, log: _Log, answer: Any, at: tuple[int, int]) -> None:  # noqa: ANN401
    """Add a step to the log."""
    if not (isinstance(answer, tuple) and len(answer) == 5):
        raise Stopped(Stop(Where(plan, "step", *at), "raised", f"step returned {_kind(answer)}, expected five values"))
    obs, reward, terminated, truncated, info = answer
    _note_obs(log, env, obs)
    paid, flags = only(reward), (only(terminated), only(truncated))
    wrong_reward = reward_problem(paid)
    log.note("reward", wrong_reward)
    log.note("flags", flags_problem(*flags, info))
    log.note("reward form", form_problem("", reward))
    log.note("flags form", form_problem("terminated", terminated) or form_problem("truncated", truncated))
    numbers, digest = as_numbers(env.observation_space, obs)
    log.obs.append(numbers)
    log.digest.append(digest)
    number = np.nan if "expected" in wrong_reward else float(paid)
    ended = [isinstance(flag, bool | np.bool_) and bool(flag) for flag in flags]
    log.moments.append((number, ended[0], ended[1], *at))


def _note_obs(log: _Log, env: AnyEnv, obs: Any) -> None:  # noqa: ANN401
    if "aliasing" not in log.problems:
        log.note("aliasing", log.handed.overwritten(obs))
        log.handed.add_obs(obs)
    wrong = observation_problem(env.observation_space, obs)
    log.note("observation", wrong)
    log.note("bounds", "" if wrong else bounds_problem(env.observation_space, obs))


def _kind(answer: object) -> str:
    return f"{len(answer)} values" if isinstance(answer, tuple) else f"a {type(answer).__name__}"


def _facts(env: AnyEnv, task: Task) -> dict[str, Any]:
    """Return what can be seen of an environment that was only made."""
    attributes = numeric_attributes(env.unwrapped)
    holds = {
        name: parameter
        for parameter, value in task.items()
        for name, held in attributes.items()
        if same_numbers(held, value)
    }
    spec = env.spec
    return {
        "spaces": {"observation": space_note(env.observation_space), "action": space_note(env.action_space)},
        "layout": _layout(env.observation_space),
        "largest": largest_bounds(env.observation_space),
        "time_limit": time_limit(env),
        "nondeterministic": bool(spec and spec.nondeterministic),
        "holds": holds,
        "lost": {},
        "attributes": (digests(attributes),),
    }


def _layout(space: gym.Space[Any]) -> Layout:
    try:
        return observations(space).layout
    except InputError:  # learners refuse it
        return ()


def _look_after_reset(env: AnyEnv, task: Task, facts: dict[str, Any]) -> None:
    """Note which attributes do not hold their parameter any more, and after the first resets, what all of them hold."""
    is_watched = facts["holds"] or len(facts["attributes"]) < WATCHED_MOMENTS
    attributes = numeric_attributes(env.unwrapped) if is_watched else {}
    if len(facts["attributes"]) < WATCHED_MOMENTS:
        facts["attributes"] += (digests(attributes),)
    for name, parameter in facts["holds"].items():
        value = attributes.get(name)
        if value is not None and not same_numbers(value, task[parameter]):
            facts["lost"].setdefault(name, np.array2string(value, precision=4, threshold=6))
