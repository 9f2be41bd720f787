"""Looking at what an environment returns: does it keep the contract, and what is it as numbers?"""

import hashlib
import numbers
import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from drml.check.evidence import SpaceNote
from drml.envs.foreign.answers import only

MAX_ENTRIES = 512  # of an observation that are kept; the digest covers all
AS_GOOD_AS_INFINITE = 1e30  # bounds of float32's largest number, say
MAX_ATTRIBUTE = 1000  # entries of an attribute that is compared
SEED_RECORD = "_np_random_seed"  # Gymnasium's own, of the last seeded reset

Found = Any  # whatever the environment returned


def spaces_problem(env: object) -> str:
    """Return what is wrong with the declaration of an environment's spaces, "" where nothing is."""
    for name in ("observation_space", "action_space"):
        space = getattr(env, name, None)
        if not isinstance(space, gym.Space):
            found = "missing" if space is None else "a method" if callable(space) else f"a {type(space).__name__}"
            return f"{name} is {found}, expected a gymnasium.Space"
    return ""


def observation_problem(space: gym.Space[Any], obs: Found) -> str:
    """Return what is wrong with an observation, bounds aside; "" where nothing is."""
    return _search(_box_problem, space, obs)


def bounds_problem(space: gym.Space[Any], obs: Found) -> str:
    """Return which entry of an observation, in which nothing else is wrong, is outside of its bounds; "" for none."""
    return _search(_outside, space, obs)


def _search(check_box: Callable[[spaces.Box, Found], str], space: gym.Space[Any], obs: Found) -> str:
    """Return the first problem of the parts of an observation."""
    if isinstance(space, spaces.Dict) and isinstance(obs, dict):
        if obs.keys() != space.spaces.keys():
            return f"has the keys {sorted(obs)}, the space {sorted(space.spaces)}"
        return _first(f"['{key}'] {w}" for key, part in space.items() if (w := _search(check_box, part, obs[key])))
    if isinstance(space, spaces.Tuple) and isinstance(obs, tuple) and len(obs) == len(space):
        pairs = enumerate(zip(space, obs, strict=True))
        return _first(f"[{i}] {w}" for i, (part, value) in pairs if (w := _search(check_box, part, value)))
    if isinstance(space, spaces.Box):
        return check_box(space, obs)
    return "" if space.contains(obs) else f"is {_short(obs)}, not in {space}"


def _box_problem(space: spaces.Box, obs: Found) -> str:
    if not isinstance(obs, np.ndarray | np.generic):
        return f"is a {type(obs).__name__}, expected an array"
    if obs.shape != space.shape:
        return f"has shape {list(obs.shape)}, the space {list(space.shape)}"
    if not np.can_cast(obs.dtype, space.dtype):
        return f"has dtype {obs.dtype}, the space {space.dtype}"
    array: Any = np.asarray(obs)
    index = _first_index(~np.isfinite(array))
    return "" if index is None else f"{_entry(index)} is {array[index]}"


def _outside(space: spaces.Box, obs: Found) -> str:
    array: Any = np.asarray(obs)
    index = _first_index((array < space.low) | (array > space.high))
    if index is None:
        return ""
    return f"{_entry(index)} is {array[index]:.6g}, outside of [{space.low[index]:.6g}, {space.high[index]:.6g}]"


def _first_index(bad: np.ndarray) -> tuple[int, ...] | None:
    return tuple(int(i) for i in np.argwhere(bad)[0]) if bad.any() else None


def _entry(index: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, index))}]" if index else ""


def reward_problem(reward: Found) -> str:
    """Return what is wrong with a reward, "" where nothing is."""
    if isinstance(reward, np.ndarray):
        return f"is an array of shape {list(reward.shape)}, expected a number"
    if isinstance(reward, bool) or not isinstance(reward, numbers.Real):
        return f"is {_short(reward)}, a {type(reward).__name__}, expected a number"
    return "" if np.isfinite(float(reward)) else f"is {reward}"


def form_problem(name: str, value: Found) -> str:
    """Return how a value is not the plain number or flag that it is taken for, "" where it is one or cannot be."""
    if only(value) is value:
        return ""
    return f"{name} is an array of shape {list(np.shape(value))}, taken as the one entry that it holds".lstrip()


def flags_problem(terminated: Found, truncated: Found, info: Found) -> str:
    """Return what is wrong with the rest of a step's answer, "" where nothing is."""
    for name, flag in (("terminated", terminated), ("truncated", truncated)):
        if not isinstance(flag, bool | np.bool_):
            return f"{name} is {_short(flag)}, a {type(flag).__name__}, expected True or False"
    return "" if isinstance(info, dict) else f"info is a {type(info).__name__}, expected a dictionary"


def as_numbers(space: gym.Space[Any], obs: Found) -> tuple[np.ndarray, int]:
    """Return an observation as at most 512 numbers, NaN where it does not fit the space, and a digest of all of it."""
    try:
        whole = obs if isinstance(space, spaces.Box) else spaces.flatten(space, obs)
        entries = np.asarray(whole, np.float64).reshape(-1)
    except Exception:
        return np.full(1, np.nan), _digest(_bytes(obs))
    if len(entries) <= MAX_ENTRIES:
        return entries.copy(), _digest(entries.tobytes())
    return entries[kept_entries(len(entries))], _digest(entries.tobytes())


def kept_entries(size: int) -> np.ndarray:
    """Return which entries of an observation of so many numbers are kept."""
    return np.linspace(0, size - 1, min(size, MAX_ENTRIES)).astype(np.int64)


def largest_bounds(space: gym.Space[Any]) -> np.ndarray:
    """Return the largest bound of each entry that is kept, in absolute value, 0 where it has none; empty for no box."""
    try:
        box = spaces.flatten_space(space)
    except NotImplementedError:
        return np.zeros(0)
    if not isinstance(box, spaces.Box):
        return np.zeros(0)
    bounds = np.maximum(np.abs(box.low.astype(np.float64)), np.abs(box.high.astype(np.float64))).reshape(-1)
    return np.where(bounds < AS_GOOD_AS_INFINITE, bounds, 0.0)[kept_entries(len(bounds))]


def space_note(space: gym.Space[Any]) -> SpaceNote:
    """Return a space as text."""
    return SpaceNote(_structure(space), f"{_digest(_bytes(list(_bounds(space)))):x}", _short(space, 160))


def _structure(space: gym.Space[Any]) -> str:
    if isinstance(space, spaces.Dict):
        return "Dict(" + ", ".join(f"{key}: {_structure(part)}" for key, part in space.items()) + ")"
    if isinstance(space, spaces.Tuple):
        return "Tuple(" + ", ".join(_structure(part) for part in space) + ")"
    if isinstance(space, spaces.Box):
        return f"Box of shape {list(space.shape)}, {space.dtype}"
    return str(space)


def _bounds(space: gym.Space[Any]) -> Iterator[tuple[bytes, bytes]]:
    parts = space.values() if isinstance(space, spaces.Dict) else space if isinstance(space, spaces.Tuple) else ()
    for part in parts:
        yield from _bounds(part)
    if isinstance(space, spaces.Box):
        yield space.low.tobytes(), space.high.tobytes()


def numeric_attributes(env: object) -> dict[str, np.ndarray]:
    """Return the attributes of an object, and the entries of those that are dictionaries, that are finite numbers.

    What `get_task` says counts as an attribute; Gymnasium's own record of the seed does not.
    """
    named = {name: value for name, value in getattr(env, "__dict__", {}).items() if name != SEED_RECORD}
    if callable(ask := getattr(env, "get_task", None)):
        try:
            named["get_task()"] = ask()
        except Exception:
            named.pop("get_task()", None)
    found: dict[str, np.ndarray] = {}
    for name, value in named.items():
        inner = {f"{name}[{key!r}]": v for key, v in value.items()} if isinstance(value, dict) else {name: value}
        found |= {key: array for key, v in inner.items() if (array := _numbers(v)) is not None}
    return found


def _numbers(value: object) -> np.ndarray | None:
    if not isinstance(value, np.ndarray | np.generic | int | float | tuple | list):
        return None
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        return None
    return array if 0 < array.size <= MAX_ATTRIBUTE and np.isfinite(array).all() else None


def digests(values: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Return a digest of each array."""
    return {name: _digest(repr(value.shape).encode() + value.tobytes()) for name, value in values.items()}


def same_numbers(value: np.ndarray, parameter: np.ndarray) -> bool:
    """Return whether an attribute holds a parameter, in float32 or better."""
    return value.size == parameter.size and np.allclose(value.reshape(-1), parameter.reshape(-1), 1e-6, 1e-9)


def _bytes(value: Found) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception:
        return repr(value).encode()


def _digest(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True)


def _short(value: Found, length: int = 60) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= length else text[: length - 1] + "…"


def _first(texts: Iterator[str]) -> str:
    return next(texts, "")
