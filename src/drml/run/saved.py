"""Progress to and from a checkpoint: a tree of tensors, a few facts, and what grows.

A right hash says that a file is what somebody wrote, not that it makes sense. So what goes in is finite, and what comes
out is of its type and in its range, or it is refused in one line.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from drml.algos.api import LearnerState
from drml.core.check import check_tree, not_finite
from drml.core.errors import CheckpointError
from drml.core.fields import Fields
from drml.core.tree import Params, Tree
from drml.loop.progress import Progress
from drml.loop.quarantine import Quarantine
from drml.run import checkpoint, sealed
from drml.run.config import RunConfig
from drml.run.durable import JSON

CHECKPOINTS = "checkpoints"
BEST = "best_params"
SAYS_SUCCESS = "says_success"  # left out where it is false
COUNTERS = ("best_meta_iter", "validations_since_best", "meta_iter", "env_steps")


def name_of(progress: Progress) -> str:
    """Return what the checkpoint of a progress is called."""
    return f"{progress.meta_iter:06d}"


def save(directory: Path, progress: Progress, facts: Mapping[str, JSON]) -> None:
    """Publish a progress, with further facts, as a checkpoint of a directory.

    Raises:
        NumericError: if a number of it is not finite.
        ResourceError: if it cannot be written; earlier checkpoints are untouched.
    """
    check_tree(f"after meta-iteration {progress.meta_iter}:", progress.tree())
    counted: dict[str, Any] = {name: getattr(progress, name) for name in (*COUNTERS, "seconds")}
    counted["best_return"] = None if progress.best_meta_iter == 0 else progress.best_return
    counted["quarantine"] = progress.quarantine.facts()
    counted |= {SAYS_SUCCESS: True} if progress.says_success else {}
    checkpoint.save(directory, name_of(progress), progress.tree(), {**counted, **facts}, progress.state.grown)


def load(path: Path, like: Progress, belongs_to: Mapping[str, str]) -> tuple[Progress, dict[str, float]]:
    """Return the progress and the seconds by phase that a checkpoint holds.

    Args:
        path: the checkpoint.
        like: a progress of the same structure.
        belongs_to: texts among its facts that must be these: suite and learner.

    Raises:
        CheckpointError: if it is damaged, belongs to something else, or a fact or number of it cannot be.
    """
    tree, values = checkpoint.load(path, like.tree())
    facts = _checked(path, tree, values, belongs_to)
    state = cast(dict[str, Tree], tree["state"])
    progress = Progress(
        LearnerState(cast(Params, state["params"]), state["optimiser"], checkpoint.load_grown(path)),
        cast(Tree, tree["sampler"]),
        cast(Params, tree[BEST]),
        quarantine=_quarantine(facts),
        seconds=facts.amount("seconds"),
        says_success=SAYS_SUCCESS in facts.values and facts.flag(SAYS_SUCCESS),
        **_counters(path, facts),
    )
    return progress, facts.amounts_by_name("phases")


def load_best(path: Path, like: Params, belongs_to: Mapping[str, str]) -> tuple[Params, dict[str, Any]]:
    """Return what did best on validation tasks of what the tasks share, and how far the training had come.

    Args:
        path: the checkpoint.
        like: parameters of the same names and shapes.
        belongs_to: texts among its facts that must be these: suite and learner.

    Raises:
        CheckpointError: if it is damaged, belongs to something else, or a fact or number of it cannot be.
    """
    tree, values = checkpoint.load_branch(path, BEST, dict(like))
    facts = _checked(path, tree, values, belongs_to)
    return cast(Params, tree), {**_counters(path, facts), "seconds": facts.amount("seconds")}


def _checked(path: Path, tree: Tree, values: dict[str, Any], belongs_to: Mapping[str, str]) -> Fields:
    """Return the facts of a checkpoint that is whose it should be and holds finite numbers."""
    facts = Fields(path / sealed.FACTS, values, CheckpointError)
    for key, value in belongs_to.items():
        if facts.text(key) != value:
            raise CheckpointError(f"{path} belongs to {key} '{facts.text(key)}', not '{value}'")
    if found := not_finite(tree):
        raise CheckpointError(f"{path / sealed.STATE}: {found}; the run diverged, or the file was changed")
    return facts


def _counters(path: Path, facts: Fields) -> dict[str, Any]:
    """Return the counts and the best return, each in its range and fitting the others."""
    meta_iter = facts.count("meta_iter")
    if path.name.isdecimal() and int(path.name) != meta_iter:
        raise facts.wrong(f"{int(path.name)}, as the checkpoint is called", meta_iter, "meta_iter")
    found: dict[str, Any] = {"meta_iter": meta_iter, "env_steps": facts.count("env_steps")}
    found |= {name: facts.count(name, meta_iter) for name in ("best_meta_iter", "validations_since_best")}
    if found["best_meta_iter"]:
        found["best_return"] = facts.finite("best_return")
    elif facts.values.get("best_return") is not None:
        raise facts.wrong("null, as there is no best meta-iteration", facts.values["best_return"], "best_return")
    return found


def _quarantine(facts: Fields) -> Quarantine:
    if "quarantine" not in facts.values:  # checkpoints of before there was one
        return Quarantine()
    return Quarantine.from_facts(facts.mapping("quarantine"), facts.path("quarantine"))


def belongs_to(config: RunConfig) -> dict[str, str]:
    """Facts that say whose checkpoint it is."""
    return {"suite": config.suite, "learner": config.learner}
