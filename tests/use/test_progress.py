"""Progress as text: what is left, and lines that are said once."""

import pytest

from drml.loop.config import TrainConfig
from drml.loop.progress import Progress
from drml.use.progress import News, PrintedProgress, clock, seconds_left


def progress(meta_iter: int) -> Progress:
    return Progress({}, {}, {}, meta_iter=meta_iter, env_steps=1000 * meta_iter, seconds=2.0 * meta_iter)  # pyright: ignore[reportArgumentType] — counters only


def test_seconds_left_follow_the_budget_that_ends_first():
    # 10 of 100 meta-iterations at 2 s and 1000 env steps each.
    assert seconds_left(TrainConfig(meta_iters=100), progress(10), 2.0) == 180.0
    assert seconds_left(TrainConfig(meta_iters=100, max_env_steps=15000), progress(10), 2.0) == 10.0
    assert seconds_left(TrainConfig(meta_iters=100, max_seconds=27.0), progress(10), 2.0) == 7.0


def test_clock():
    assert [clock(seconds) for seconds in (0.4, 61.0, 3723.0)] == ["0:00", "1:01", "1:02:03"]


def test_printed_progress_is_a_line_every_ten_seconds_and_the_last(monkeypatch, capsys):
    seconds = 100.0
    monkeypatch.setattr("drml.use.progress.time.monotonic", lambda: seconds)
    listener = PrintedProgress(TrainConfig(meta_iters=30))
    for meta_iter in range(1, 31):
        seconds = 100.0 + meta_iter  # one meta-iteration of 1000 env steps per second
        listener(progress(meta_iter), [{"kind": "train", "pre_return": -1.0, "post_return": 42.0}])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["1/30", "11/30", "21/30", "30/30"]
    assert lines[1] == "meta-iteration 11/30  return -1.0 → 42.0 after adaptation  1,000 env steps/s  0:19 left"


def test_warnings_are_said_once_and_of_many_faults_the_first_few():
    news = News()
    rows = [{"faults": [{"text": f"fault {n}"} for n in range(5)], "warnings": [{"name": "a", "text": "slow"}]}]
    first = ["fault 0", "fault 1", "fault 2", "and 2 more faults; metrics.jsonl has them all"]
    assert news.lines(rows) == [*first, "warning (a): slow"]
    assert news.lines(rows) == first
    assert news.lines([{"warnings": [{"name": "b", "text": "flat"}]}]) == ["warning (b): flat"]


@pytest.mark.parametrize("unseen", ["\x1b", "\n", "\u202e"])
def test_foreign_text_does_nothing_to_the_terminal(unseen, capsys):
    rows = [{"kind": "train", "pre_return": 0.0, "post_return": 0.0, "faults": [{"text": f"a{unseen}b"}]}]
    PrintedProgress(TrainConfig(meta_iters=9))(progress(1), rows)
    first = capsys.readouterr().out.split("meta-iteration")[0]
    assert unseen not in first.removesuffix("\n") and first.startswith("a\\")
