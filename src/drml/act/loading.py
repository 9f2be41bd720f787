"""Loading what a run has learned, without its history, its environments, or any of the packages that these need."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drml.act.learned import Learned
from drml.act.meta_agent import MetaAgent
from drml.core.errors import CheckpointError, InputError
from drml.core.plain_files import kind_of
from drml.core.rng import Streams
from drml.core.shell import as_word
from drml.run import checkpoint, rundir, saved, sealed
from drml.run.config import learner_of, read_config
from drml.spaces.interface import Interface


def load(path: Path | str) -> MetaAgent:
    """Return what was learned: by a run, as of its newest checkpoint, or as of a given checkpoint of it.

    Raises:
        InputError: if there is nothing of the kind at the path.
        CheckpointError: if it is damaged, or has learned nothing yet.
    """
    place = Path(path).absolute()
    run = place.parent.parent
    if kind_of(place / rundir.CONFIG):
        found = checkpoint.newest(place / saved.CHECKPOINTS)
        if found is None:
            raise CheckpointError(f"{path} has no checkpoint yet; train it with --resume {as_word(path)}")
        return MetaAgent(_learned(place, found))
    if kind_of(place / sealed.MANIFEST) and kind_of(run / rundir.CONFIG):
        return MetaAgent(_learned(run, place))
    kind = kind_of(place)
    what = "it holds no config.json" if kind == "a directory" else f"it is {kind}" if kind else "there is nothing"
    raise InputError(f"{path} is no run, checkpoint or saved agent: {what}")


def _learned(run: Path, found: Path) -> Learned:
    """Return what a run has learned by one of its checkpoints."""
    config, fields = read_config(run), rundir.read_fields(run)
    interface = _interface(run, config.suite, fields)
    like = learner_of(config, interface.spec).init(Streams(0)["shapes"]).shared
    shared, reached = saved.load_best(found, like, saved.belongs_to(config))
    facts = {name: fields[name] for name in rundir.TEXTS_BESIDE if name in fields}
    return Learned(config, interface, shared, {**facts, "reached": reached})


def _interface(run: Path, suite: str, fields: Mapping[str, Any]) -> Interface:
    where = f"{run / rundir.CONFIG}: '{rundir.INTERFACE}'"
    if rundir.INTERFACE in fields:
        return Interface.from_facts(fields[rundir.INTERFACE], where)
    from drml.suites import registry  # a run of before spaces were kept: its tasks have to be asked

    return registry.suite(suite).interface()
