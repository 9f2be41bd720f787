"""A flipped bit in a file that is sealed by a checksum is an error, and never another number."""

from .conftest import check_refusal, contents, in_parts

NUM_FLIPS = 50  # of each file
SEALED = {
    "checkpoints/000004/state.safetensors": ["test", "run", "--tasks", "1", "--episodes", "1"],
    "checkpoints/000004/facts.json": ["train", "--resume", "run"],
    "checkpoints/000004/manifest.json": ["test", "run", "--tasks", "1", "--episodes", "1"],
    "metrics.jsonl": ["train", "--resume", "run", "--meta-iters", "5"],
}


@in_parts([(name, i) for i in range(NUM_FLIPS) for name in SEALED])
def test_a_flipped_bit_is_never_taken_for_another_number(cases, fork, run):
    for older in run.glob("checkpoints/000002"):  # else it would be taken, with a warning
        older.rename(run.parent / "older")
    before = contents(run)
    for name, i in cases:
        path = run / name
        sound = path.read_bytes()
        at = (2 * i + 1) * 8 * len(sound) // (2 * NUM_FLIPS) + i % 8
        flipped = bytearray(sound)
        flipped[at // 8] ^= 1 << at % 8
        path.write_bytes(flipped)
        written = contents(run)
        answer = fork(SEALED[name], run.parent)
        check_refusal(answer, {4})
        assert contents(run) == written, f"{name}, bit {at}"
        path.write_bytes(sound)
    assert contents(run) == before
