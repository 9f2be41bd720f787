"""Acting by a function of named arrays whose memory is fed back to it; without torch, for processes that lack it."""

import numpy as np


def by_graph(call, world: list[dict[str, np.ndarray]], inputs: dict[str, tuple]) -> list[dict[str, np.ndarray]]:
    """Return the actions that a function of named arrays takes in a world; its memory is fed back to it.

    Args:
        call: takes the inputs by name, returns the outputs.
        world: from `told`.
        inputs: shape and dtype by the names of the inputs.
    """
    rows, outputs = len(world[0]["reward"]), []
    state = {name: np.zeros((rows, *shape), dtype) for name, (shape, dtype) in inputs.items()}
    for step in world:
        state["observation"] = step["observation"]
        out = {name: np.asarray(value) for name, value in call({name: state[name] for name in inputs}).items()}
        outputs.append(out)
        state |= {name.removeprefix("next_"): value for name, value in out.items() if name.startswith("next_")}
        state |= {"previous_action": out["policy_action"], "reward": step["reward"], "ended": step["ended"]}
    return outputs
