"""Wire between a run and the process of one task: frames of plain arrays and a little JSON.

    frame     verb (1 byte), length of the payload (4 bytes, little-endian), payload
    R reset   length of a JSON header (4 bytes), header, the task's parameters as bytes        →  O  obs
    S step    actions [1, B, A] float32 or [1, B] int64                                        →  T  step and faults
    C close                                                                                    →  C
              (once, unasked, when the process is ready)                                       →  K
              (the call cannot be carried out: a JSON header says why)                         →  E

Nothing on it can run code: whatever a broken process writes, the other side reads numbers and text.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from drml.core.fault import Fault
from drml.core.rng import Key, Streams
from drml.core.types import EnvSpec, Step, Tasks

HEADER = struct.Struct("<cI")
LENGTH = struct.Struct("<I")
READY, RESET, OBS, STEP, STEPPED, CLOSE, ERROR = b"K", b"R", b"O", b"S", b"T", b"C", b"E"
NUM_FLAGS = 4  # terminated, truncated, diverged, idle; and success, where something was said of it


def frame(verb: bytes, payload: bytes = b"") -> bytes:
    """Return a frame."""
    return HEADER.pack(verb, len(payload)) + payload


def pack_json(value: Any) -> bytes:  # noqa: ANN401 — JSON
    """Return JSON with its length before it."""
    data = json.dumps(value).encode()
    return LENGTH.pack(len(data)) + data


def unpack_json(payload: bytes | bytearray) -> tuple[Any, bytearray]:
    """Return the JSON at the start of a payload, and what follows."""
    (length,) = LENGTH.unpack_from(payload)
    return json.loads(bytes(payload[LENGTH.size : LENGTH.size + length])), bytearray(payload[LENGTH.size + length :])


def pack_reset(task: Tasks, copies: int, rng: Streams) -> bytes:
    """Return the payload of a reset to one task."""
    arrays = {name: np.ascontiguousarray(value.cpu().numpy()) for name, value in task.params.items()}
    path = [key if isinstance(key, str) else int(key) for key in rng.path]
    header = {
        "copies": copies,
        "id": int(task.ids[0]),
        "seed": int(rng.seed),
        "path": path,
        "params": [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()],
    }
    return pack_json(header) + b"".join(array.tobytes() for array in arrays.values())


def unpack_reset(payload: bytes | bytearray) -> tuple[Tasks, int, Streams]:
    """Return what `pack_reset` packed."""
    header, rest = unpack_json(payload)
    params: dict[str, Tensor] = {}
    for name, dtype, shape in header["params"]:
        array = np.frombuffer(rest, dtype, int(np.prod(shape))).reshape(shape)
        params[name] = torch.from_numpy(array.copy())
        rest = rest[array.nbytes :]
    path: tuple[Key, ...] = tuple(header["path"])
    return Tasks(params, torch.tensor([header["id"]])), header["copies"], Streams(header["seed"], path)


def pack_obs(obs: Tensor) -> bytes:
    """Return the payload of first observations `[1, B, O]`."""
    return _raw(obs)


def unpack_obs(payload: bytes | bytearray, copies: int, spec: EnvSpec) -> np.ndarray:
    """Return first observations `[B, O]`."""
    return np.frombuffer(payload, _dtype(spec)).reshape(copies, spec.obs_size)


def pack_action(action: Tensor) -> bytes:
    """Return the payload of one task's actions."""
    return action.detach().cpu().contiguous().numpy().tobytes()


def unpack_action(payload: bytes | bytearray, copies: int, spec: EnvSpec) -> Tensor:
    """Return one task's actions, `[1, B, ...]`."""
    values = torch.frombuffer(bytearray(payload), dtype=spec.action.dtype)
    return values.reshape(1, copies, *spec.action.shape)


def pack_step(step: Step, faults: Sequence[Fault]) -> bytes:
    """Return the payload of a step of one task, and of what has failed by then."""
    rows = [step.terminated, step.truncated, step.diverged, step.idle.expand_as(step.terminated)]
    flags = torch.stack(rows if step.success is None else [*rows, step.success])
    arrays = _raw(step.obs) + _raw(step.final_obs) + _raw(step.reward)
    arrays += flags.to(torch.uint8).numpy().tobytes()
    return pack_json([asdict(fault) for fault in faults]) + arrays


def unpack_step(payload: bytes | bytearray, copies: int, spec: EnvSpec) -> tuple[Sequence[np.ndarray], list[Fault]]:
    """Return obs and final_obs `[B, O]`, reward `[B]` and flags `[4 or 5, B]` of a step, and its faults."""
    faults, rest = unpack_json(payload)
    dtype = _dtype(spec)
    seen = copies * spec.obs_size * np.dtype(dtype).itemsize
    num_flags = (len(rest) - 2 * seen) // copies - 4
    if num_flags not in (NUM_FLAGS, NUM_FLAGS + 1) or len(rest) != 2 * seen + copies * (4 + num_flags):
        raise ValueError(f"{len(rest)} bytes are not a step of {copies} copies")
    obs, final_obs = (np.frombuffer(rest[start : start + seen], dtype).reshape(copies, -1) for start in (0, seen))
    reward = np.frombuffer(rest[2 * seen : 2 * seen + 4 * copies], np.float32)
    flags = np.frombuffer(rest[2 * seen + 4 * copies :], np.uint8).reshape(num_flags, copies)
    return (obs, final_obs, reward, flags), [Fault(**cast(Any, {**f, "action": tuple(f["action"])})) for f in faults]


def _raw(values: Tensor) -> bytes:
    kept = values if values.dtype == torch.uint8 else values.to(torch.float32)
    return kept.cpu().contiguous().numpy().tobytes()


def _dtype(spec: EnvSpec) -> type[np.generic]:
    return np.uint8 if spec.parts else np.float32
