"""What grows is a file per segment, which the next checkpoint links."""

import os
import shutil

import pytest
import torch

from drml.core.errors import CheckpointError
from drml.core.segments import grown_by
from drml.run import checkpoint

TREE = {"w": torch.ones(3)}
FACTS = {"meta_iter": 1}


def segments(count):
    grown = ()
    for i in range(count):
        grown = grown_by(grown, {"obs": torch.full((5, 2), float(i)), "of": {"task": torch.tensor([i])}}, 10**6)
    return grown


def files(path):
    return sorted(name for name in os.listdir(path) if name.startswith("grown-"))


def same(one, other):
    return [s.number for s in one] == [s.number for s in other] and all(
        torch.equal(a.tree["obs"], b.tree["obs"]) and torch.equal(a.tree["of"]["task"], b.tree["of"]["task"])
        for a, b in zip(one, other, strict=True)
    )


def test_the_next_checkpoint_links_what_the_last_one_wrote(tmp_path):
    grown = segments(3)
    first = checkpoint.save(tmp_path, "1", TREE, FACTS, grown[:2])
    second = checkpoint.save(tmp_path, "2", TREE, FACTS, grown[1:])  # the oldest has gone, one is new
    assert len(files(first)) == len(files(second)) == 2
    (shared,) = set(files(first)) & set(files(second))
    assert os.stat(first / shared).st_ino == os.stat(second / shared).st_ino
    assert same(checkpoint.load_grown(first), grown[:2]) and same(checkpoint.load_grown(second), grown[1:])
    shutil.rmtree(first)
    assert checkpoint.newest(tmp_path) == second and same(checkpoint.load_grown(second), grown[1:])


def test_loaded_segments_are_linked_too(tmp_path):
    first = checkpoint.save(tmp_path, "1", TREE, FACTS, segments(2))
    loaded = checkpoint.load_grown(first)
    second = checkpoint.save(tmp_path, "2", TREE, FACTS, loaded)
    assert [os.stat(first / name).st_ino for name in files(first)] == [
        os.stat(second / name).st_ino for name in files(second)
    ]


def test_what_is_damaged_there_is_written_again(tmp_path):
    grown = segments(2)
    first = checkpoint.save(tmp_path, "1", TREE, FACTS, grown)
    damaged = first / files(first)[0]
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    with pytest.raises(CheckpointError, match="is damaged: its sha256 is not the one in the manifest"):
        checkpoint.load_grown(first)
    assert not checkpoint.is_sound(first)
    second = checkpoint.save(tmp_path, "2", TREE, FACTS, grown)
    assert same(checkpoint.load_grown(second), grown) and checkpoint.newest(tmp_path) == second


def test_without_links_it_is_written_again(tmp_path, monkeypatch):
    grown = segments(2)
    checkpoint.save(tmp_path, "1", TREE, FACTS, grown)

    def refused(*args, **kwargs):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refused)
    second = checkpoint.save(tmp_path, "2", TREE, FACTS, grown)
    assert same(checkpoint.load_grown(second), grown)


def test_a_checkpoint_without_is_as_it_always_was(tmp_path):
    path = checkpoint.save(tmp_path, "1", TREE, FACTS)
    assert sorted(os.listdir(path)) == ["facts.json", "manifest.json", "state.safetensors"]
    assert checkpoint.load_grown(path) == ()


def test_other_files_in_a_manifest_are_damage(tmp_path):
    path = checkpoint.save(tmp_path, "1", TREE, FACTS, segments(1))
    (name,) = files(path)
    manifest = path / "manifest.json"
    manifest.write_text(manifest.read_text().replace(name, "grown-1.safetensors"))
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load_grown(path)
