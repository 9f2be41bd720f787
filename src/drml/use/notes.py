"""Notes on a run that its names do not tell: what an adaptation step takes, and what is done with environments."""

from drml.policies.memory.registry import MemoryConfig
from drml.run.setup import Setup


def notes_of(setup: Setup) -> list[str]:
    """Return what is done with the environments that the name of the tasks does not tell, a line each."""
    found: list[str] = []
    if setup.suite.limit_note:
        found.append(f"time limit: {setup.suite.limit_note}")
    if note := setup.suite.bytes_note:
        found.append(
            f"bytes in observations: {note}; a box from 0 to 255 is a picture, one with other bounds holds symbols"
        )
    if setup.config.normalise.observations:
        found.append("observations: numbers in units of their running mean and standard deviation, within ten of them")
    return found


def adaptation_step(setup: Setup) -> str:
    """Return what one adaptation step takes, as a line."""
    horizon, copies = setup.suite.spec.horizon, setup.config.train.copies
    if isinstance(setup.config.policy, MemoryConfig):
        return f"an adaptation step is one episode, of up to {horizon} steps"
    if setup.learner.adapts_on == "episodes":
        return f"an adaptation step takes {copies} episodes of a task, of up to {horizon} steps each"
    return f"an adaptation step takes {copies} x {horizon} steps of a task, however many episodes these are"
