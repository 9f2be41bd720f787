"""A run that is killed or stopped at any moment goes on to the very bits of one that was never touched."""

import os
from pathlib import Path

import pytest

from drml.cli.stop import EXIT_CODES
from drml.core.signals import STOP_SIGNALS

from .conftest import FAMILIES, SHORT, end_of, in_parts
from .fork_server import MOMENTS, End, ForkServer

NUM_KILLS = 40  # of each family


def go_on(fork: ForkServer, family: str, folder: Path, end: End = End()) -> int:  # noqa: B008 — frozen
    """Do what a user does after a kill: resume the run, or start it again where it had not begun; return the code."""
    is_begun = (folder / "run" / "config.json").exists()
    words = ["train", "--resume", "run"] if is_begun else [*FAMILIES[family], *SHORT, "--out", "run"]
    answer = fork(words, folder, end)
    assert answer.code in (0, -end.number, EXIT_CODES.get(end.number)), answer.err
    assert "Traceback" not in answer.err
    return answer.code


@pytest.fixture(scope="module")
def num_operations(fork: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """How many file operations a whole training takes."""
    found = {}
    for family in FAMILIES:
        folder = tmp_path_factory.mktemp("counted")
        found[family] = fork([*FAMILIES[family], *SHORT, "--out", "run"], folder).num_operations
        assert found[family] > 60  # two checkpoints of three files, a configuration, a log
    return found


@in_parts(list(range(NUM_KILLS)))
@pytest.mark.parametrize("family", FAMILIES)
def test_a_killed_run_goes_on_to_the_same_bits(family, cases, fork, trained, num_operations, tmp_path):
    for case in cases:
        folder = tmp_path / str(case)
        folder.mkdir()
        at = num_operations[family] * (2 * case + 1) // (2 * NUM_KILLS)
        end = End(at, MOMENTS[case % 3])
        assert go_on(fork, family, folder, end) == -end.number
        if case % 2:
            go_on(fork, family, folder, End(5 + 3 * case, MOMENTS[case % 3 - 1]))  # killed again, or through before
        assert go_on(fork, family, folder) == 0
        assert end_of(folder / "run") == end_of(trained[family])
        assert not list((folder / "run").glob(".tmp-*"))


@in_parts(list(range(0, 90)))
def test_a_run_that_is_killed_at_any_moment_of_its_start_can_be_started_or_resumed(cases, fork, trained, tmp_path):
    """Each of the first thirty file operations: the directory, the lock, the configuration, the log, the first row."""
    for case in cases:
        folder = tmp_path / str(case)
        folder.mkdir()
        assert go_on(fork, "promp", folder, End(case // 3, MOMENTS[case % 3])) < 0
        assert go_on(fork, "promp", folder) == 0
        assert end_of(folder / "run") == end_of(trained["promp"])


@in_parts([(number, third) for third in range(5) for number in STOP_SIGNALS])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_stopped_run_is_saved_and_goes_on_to_the_same_bits(family, cases, fork, trained, num_operations, tmp_path):
    for number, fifth in cases:
        folder = tmp_path / f"{number.name}-{fifth}"
        folder.mkdir()
        at = 30 + (num_operations[family] - 40) * fifth // 5
        code = go_on(fork, family, folder, End(at, "before", number))
        if code:  # else it came amid the last save
            assert code == EXIT_CODES[number]
            assert os.listdir(folder / "run" / "checkpoints")
            assert go_on(fork, family, folder) == 0
        assert end_of(folder / "run") == end_of(trained[family])


def test_a_draft_of_a_configuration_that_older_versions_left_is_no_run(fork, trained, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").write_text("1 elsewhere\n")
    (tmp_path / "run" / ".tmp-config.json-12345").write_text('{"suite": "navi')
    answer = fork(["train", "--resume", "run"], tmp_path)
    assert answer.code == 2 and "has no config.json" in answer.err
    assert go_on(fork, "promp", tmp_path) == 0
    assert end_of(tmp_path / "run") == end_of(trained["promp"])
    assert not list((tmp_path / "run").glob(".tmp-*"))
