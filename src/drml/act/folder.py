"""Saved agents: folders as the hubs of the field expect them.

    config.json            what it is: suite, learner, configurations, spaces, versions, tasks, what was reached
    model.safetensors      what was learned: parameters by name
    session.safetensors    sessions of an agent that was saved while it acts or adapts, with facts in config.json
    README.md              the model card, for people and hubs; nothing reads it here, so it may be edited
    manifest.json          sizes and sha256 of the others

A folder is written whole or not at all, and one that is there already is replaced in one step. Nothing is sent
anywhere.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drml.act import card, snapshot, tested
from drml.act.asked import path_of
from drml.act.learned import Learned
from drml.act.snapshot import Held
from drml.core.check import not_finite
from drml.core.config import to_dict
from drml.core.errors import CheckpointError, InputError
from drml.core.fields import Fields
from drml.core.plain_files import kind_of
from drml.core.rng import Streams
from drml.core.tree import Params
from drml.run import publication, rundir, sealed
from drml.run.config import kept_config, learner_of
from drml.run.durable import finite
from drml.run.leaves import check_leaves, decode_leaves, encode_tree
from drml.run.sealed import MANIFEST
from drml.spaces.interface import Interface

FORMAT = 1
CONFIG, MODEL, SESSION, CARD = "config.json", "model.safetensors", "session.safetensors", "README.md"
_CONTENTS = sealed.Contents("saved agent", (CONFIG, MODEL), re.compile(re.escape(SESSION)))
_OWN = {CONFIG, MODEL, SESSION, CARD, MANIFEST, "curve.json", "curve.png"}
_BESIDE = (*rundir.WRITTEN_BESIDE, "format", "library", "reached", "tested", "sessions")


def save(path: Path | str, learned: Learned, held: Held | None = None, licence: str = card.LICENCE) -> None:
    """Write what was learned, and sessions that go on from it, as a folder.

    Args:
        path: the folder; it is made where there is none, and a saved agent that is there is replaced.
        learned: what is saved.
        held: sessions that are saved with it.
        licence: of the weights, for the model card.

    Raises:
        InputError: if something else is there.
        ResourceError: if it cannot be written; what was there before is untouched.
    """
    target = path_of("save", path).absolute()
    _check_place(path, target)
    text = card.card_of(learned, held, card.check_licence(licence))
    fields = {
        "format": FORMAT,
        "library": "drml",
        **to_dict(learned.config),
        **{name: learned.facts.get(name, {}) for name in (*rundir.TEXTS_BESIDE, "reached", "tested")},
        rundir.INTERFACE: learned.interface.facts(),
    }
    contents = {MODEL: encode_tree(dict(learned.shared))}
    if held is not None:
        tree, fields["sessions"] = snapshot.encoded(held)
        contents[SESSION] = encode_tree(tree)
    contents[CONFIG] = (json.dumps(finite(fields), indent=2, allow_nan=False) + "\n").encode()
    manifest = sealed.encode_manifest({name: sealed.entry_of(data) for name, data in contents.items()}, 0)
    publication.replace(target, {**contents, CARD: text.encode(), MANIFEST: manifest})


def _check_place(path: Path | str, target: Path) -> None:
    """Refuse a target where there is anything but a saved agent, or an empty directory."""
    if rundir.is_kept(target) or (kind_of(target / CONFIG) and not is_there(target)):
        raise InputError(f"save: {path} belongs to a run; choose another directory")
    if (found := kind_of(target)) not in ("", "a directory"):
        raise InputError(f"save: {path} is {found}, expected a directory; choose another name")
    try:
        held = {part.name for part in target.iterdir()} if found else set[str]()
    except OSError as error:
        raise InputError(f"save: {path} cannot be looked into: {error.strerror}; choose another directory") from error
    others = sorted(held - _OWN)
    if others or (held and not is_there(target)):
        raise InputError(
            f"save: {path} holds {[*others, *sorted(held)][0]}, which is no saved agent; choose another directory"
        )


def is_there(path: Path) -> bool:
    """Return whether a directory is, or once was, a saved agent."""
    return bool(kind_of(path / MODEL) or (kind_of(path / CONFIG) and kind_of(path / MANIFEST)))


def load(path: Path) -> tuple[Learned, Held | None]:
    """Return what a folder holds: what was learned, and the sessions that go on from it, if there are any.

    Raises:
        CheckpointError: if it is damaged, of a newer format, or does not fit together.
        InputError: if its configuration is none of this version.
    """
    manifest = sealed.read_manifest(path, _CONTENTS)
    where = path / CONFIG
    fields = Fields(where, sealed.parsed(where, sealed.verified_bytes(manifest, CONFIG)), CheckpointError)
    if (version := fields.count("format")) != FORMAT:
        raise CheckpointError(f"{path} has format {version}, this drml reads {FORMAT}; use a newer drml")
    learned = _learned(path, fields, decode_leaves(path / MODEL, sealed.verified_bytes(manifest, MODEL)))
    if (SESSION in manifest.files) != ("sessions" in fields.values):
        raise CheckpointError(f"{where}: 'sessions' are there, or {SESSION} is, but not both; the folder is damaged")
    if SESSION not in manifest.files:
        return learned, None
    leaves = decode_leaves(path / SESSION, sealed.verified_bytes(manifest, SESSION))
    return learned, snapshot.decoded(learned, leaves, fields.mapping("sessions"), path / SESSION)


def _learned(path: Path, fields: Fields, shared: Params) -> Learned:
    where = f"{path / CONFIG}"
    config = kept_config({key: value for key, value in fields.values.items() if key not in _BESIDE}, where)
    interface = Interface.from_facts(fields.mapping(rundir.INTERFACE), fields.path(rundir.INTERFACE), CheckpointError)
    like = learner_of(config, interface.spec).init(Streams(0)["shapes"]).shared
    check_leaves(path / MODEL, shared, like)
    if found := not_finite(dict(shared)):
        raise CheckpointError(f"{path / MODEL}: {found}; the file was changed")
    return Learned(config, interface, {name: shared[name] for name in like}, _facts(fields))


def _facts(fields: Fields) -> Mapping[str, Any]:
    texts = {name: fields.texts_by_name(name) for name in rundir.TEXTS_BESIDE}
    fields.numbers_by_name("reached")
    return {**texts, "reached": fields.mapping("reached"), "tested": tested.checked(fields.nested("tested"))}
