"""Loading what was learned, without its history, its environments, or any of the packages that these need."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drml.act import folder
from drml.act.adaptive_agent import AdaptiveAgent
from drml.act.asked import path_of
from drml.act.learned import Learned
from drml.act.meta_agent import MetaAgent
from drml.act.snapshot import Held
from drml.act.tested import tested
from drml.core.errors import CheckpointError, InputError
from drml.core.plain_files import kind_of, read_plain
from drml.core.rng import Streams
from drml.core.shell import as_word
from drml.run import checkpoint, rundir, saved, sealed
from drml.run.config import learner_of, read_config
from drml.spaces.interface import Interface

ATTEMPTS = 5  # at a folder that another process replaces meanwhile


def load(path: Path | str) -> MetaAgent | Any:  # noqa: ANN401 — an AdaptiveAgent, where that was saved
    """Return what was learned: by a run, as of its newest checkpoint; as of a given checkpoint; or a saved agent.

    A folder that `AdaptiveAgent.save` wrote gives that agent, which goes on where it was; all else gives a MetaAgent.
    Type checkers take the result for either; `load_agent` is typed as an AdaptiveAgent.

    Raises:
        InputError: if there is nothing of the kind at the path.
        CheckpointError: if it is damaged, or has learned nothing yet.
    """
    learned, held = _found(path)
    return MetaAgent(learned) if held is None else _adaptive(learned, held)


def load_agent(path: Path | str) -> AdaptiveAgent:
    """Return an agent that was saved while it acted or adapted, to go on where it was.

    Raises:
        InputError: if there is none at the path.
        CheckpointError: if it is damaged.
    """
    learned, held = _found(path)
    if held is None:
        raise InputError(
            f"{path} holds no agent that has begun to act; begin one with drml.load({str(path)!r}).start()"
        )
    return _adaptive(learned, held)


def load_meta(path: Path | str) -> MetaAgent:
    """Return what was learned before any task was met, of a run, a checkpoint or any saved agent.

    Raises:
        InputError: if there is nothing of the kind at the path.
        CheckpointError: if it is damaged, or has learned nothing yet.
    """
    return MetaAgent(_found(path)[0])


def _adaptive(learned: Learned, held: Held) -> AdaptiveAgent:
    return AdaptiveAgent(learned, held.sessions, held.seed, held.autoreset, held.acted)


def _found(path: Path | str) -> tuple[Learned, Held | None]:
    """Return what lies at a path: what was learned, and the sessions that go on from it."""
    place = path_of("load", path).absolute()
    run = place.parent.parent
    if folder.is_there(place):
        return _of_folder(place)
    if kind_of(place / rundir.CONFIG):
        read_config(place)  # first: a run that cannot be read cannot be trained further either
        found = checkpoint.newest(place / saved.CHECKPOINTS)
        if found is None:
            raise CheckpointError(f"{path} has no checkpoint yet; train it with --resume {as_word(path)}")
        return _learned(place, found), None
    if kind_of(place / sealed.MANIFEST) and kind_of(run / rundir.CONFIG):
        return _learned(run, place), None
    kind = kind_of(place)
    what = "it holds no config.json" if kind == "a directory" else f"it is {kind}" if kind else "there is nothing"
    raise InputError(f"{path} is no run, checkpoint or saved agent: {what}; name the directory of one")


def _of_folder(place: Path) -> tuple[Learned, Held | None]:
    """Return what a saved agent holds; one that is replaced meanwhile is read again, since its files change places."""
    for _ in range(ATTEMPTS):
        before = _bytes_of(place / sealed.MANIFEST)
        try:
            return folder.load(place)
        except CheckpointError:
            if _bytes_of(place / sealed.MANIFEST) == before:
                break
    return folder.load(place)


def _bytes_of(path: Path) -> bytes:
    try:
        return read_plain(path)
    except OSError:  # as one of the attempts will say
        return b""


def _learned(run: Path, found: Path) -> Learned:
    """Return what a run has learned by one of its checkpoints."""
    config, fields = read_config(run), rundir.read_fields(run)
    interface = _interface(run, config.suite, fields)
    like = learner_of(config, interface.spec).init(Streams(0)["shapes"]).shared
    shared, reached = saved.load_best(found, like, saved.belongs_to(config))
    facts = {name: fields[name] for name in rundir.TEXTS_BESIDE if name in fields}
    return Learned(config, interface, shared, {**facts, "reached": reached, "tested": tested(run, reached)})


def _interface(run: Path, suite: str, fields: Mapping[str, Any]) -> Interface:
    where = f"{run / rundir.CONFIG}: '{rundir.INTERFACE}'"
    if rundir.INTERFACE in fields:
        return Interface.from_facts(fields[rundir.INTERFACE], where)
    from drml.suites import registry  # a run of before spaces were kept: its tasks have to be asked

    return registry.suite(suite).interface()
