import numpy as np
import pytest
import torch

from drml.core.rng import BlockNoise, Streams, task_noise

IDS = torch.tensor([7, 3, 11])


def test_the_same_path_gives_the_same_numbers_whenever_it_is_asked():
    streams = Streams(1)
    first = streams["collect", 3, 0].normal((4, 5))
    streams["other"].normal((100,))
    assert torch.equal(streams["collect", 3, 0].normal((4, 5)), first)
    assert torch.equal(streams["collect"][3][0].normal((4, 5)), first)
    assert torch.equal(Streams(1, ("collect", 3, 0)).normal((4, 5)), first)


def test_seeds_and_paths_give_different_numbers():
    streams = Streams(1)
    different = [streams, streams["a"], streams["a", 1], streams["a", "1"], streams[1, "a"], streams["a1"], Streams(2)]
    first = {float(stream.normal((1,))) for stream in different}
    assert len(first) == len(different)


def test_numbers_stay_what_they_were_in_earlier_versions():
    """Published runs can only be repeated as long as these numbers do not change."""
    stream = Streams(1)["collect", 3, 0]
    normal, uniform = stream.normal((3,)).tolist(), stream.uniform((3,)).tolist()
    assert normal == [0.5531612038612366, 0.3350186049938202, 0.5028727650642395]
    assert uniform == [0.49464595317840576, 0.14744830131530762, 0.49336719512939453]


@pytest.mark.parametrize("three", [3, np.int64(3), np.uint8(3), torch.tensor(3)], ids=lambda three: str(type(three)))
def test_integers_of_every_kind_are_the_same_key_and_seed(three):
    expected = Streams(3)["a", 3].normal((4,))
    assert torch.equal(Streams(3)["a", three].normal((4,)), expected)
    assert torch.equal(Streams(3)["a"][three].normal((4,)), expected)
    assert torch.equal(Streams(three)[np.str_("a"), 3].normal((4,)), expected)


def test_what_is_neither_text_nor_an_integer_is_no_key():
    with pytest.raises(TypeError, match="'float' object cannot be interpreted as an integer"):
        Streams(3)[3.0].normal((4,))


def test_moments():
    n = 100_000
    normal, uniform = Streams(0)["n"].normal((n,)), Streams(0)["u"].uniform((n,))
    assert normal.dtype == uniform.dtype == torch.float32
    # standard errors: mean 1/√n, variance √(2/n) of a normal; mean √(1/12n) of a uniform; five of them
    assert abs(float(normal.mean())) < 5 / n**0.5
    assert abs(float(normal.var()) - 1.0) < 5 * (2 / n) ** 0.5
    assert abs(float(uniform.mean()) - 0.5) < 5 / (12 * n) ** 0.5
    assert float(uniform.min()) >= 0.0
    assert float(uniform.max()) < 1.0


def test_neighbouring_streams_are_uncorrelated():
    n = 10_000
    streams = torch.stack([Streams(0)["task", k].normal((n,)) for k in range(8)])
    correlation = torch.corrcoef(streams) - torch.eye(8)
    assert float(correlation.abs().max()) < 5 / n**0.5  # standard error 1/√n, the greatest of 28


def test_no_global_generator_is_touched():
    ours, numpys = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 — the global one
    first = Streams(5)["x"].normal((10,))
    torch.manual_seed(123)
    assert torch.equal(Streams(5)["x"].normal((10,)), first)
    torch.random.set_rng_state(ours)
    Streams(5)["x"].uniform((10,))
    assert torch.equal(torch.random.get_rng_state(), ours)
    assert np.array_equal(np.random.get_state()[1], numpys)  # noqa: NPY002


def test_noise_kinds():
    stream = Streams(2)["x"]
    assert torch.equal(stream.noise("normal", (3,)), stream.normal((3,)))
    assert torch.equal(stream.noise("uniform", (3,)), stream.uniform((3,)))


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_the_noise_of_a_task_does_not_depend_on_the_tasks_beside_it(kind):
    rng = Streams(4)["action"]
    noise = task_noise(rng, IDS, kind, (5, 1))  # an odd number: float32 noise takes half of a 64-bit word each
    assert noise.shape == (3, 5, 1)
    assert torch.equal(task_noise(rng, IDS[[2, 0]], kind, (5, 1)), noise[[2, 0]])
    assert len(noise.unique()) == 15


def test_the_noise_of_a_task_begins_at_its_own_counter():
    key = Streams(4)["action", "task"].generator().bit_generator.state["state"]["key"]
    ids = torch.tensor([3, -1, 2**63 - 1])
    for row, counter in zip(
        task_noise(Streams(4)["action"], ids, "uniform", (7,)), (3, 2**64 - 1, 2**63 - 1), strict=True
    ):
        alone = np.random.Generator(np.random.Philox(key=key, counter=counter << 128))
        assert torch.equal(row, torch.from_numpy(alone.random(7, dtype=np.float32)))


def test_block_noise_does_not_depend_on_the_order_or_number_of_questions():
    def make(ids=IDS):
        return BlockNoise(Streams(4)["env"], ids, 2, "normal", (3,), block=4)

    forward, direct = make(), make()
    rows = [forward.row(i) for i in range(10)]  # three blocks
    assert rows[0].shape == (3, 2, 3)
    assert torch.equal(direct.row(9), rows[9])
    assert torch.equal(direct.row(2), rows[2])
    assert torch.equal(make(IDS[1:]).row(9), rows[9][1:])
    assert len(torch.stack(rows).unique()) == 10 * 3 * 2 * 3


def test_block_noise_gives_one_row_per_copy():
    noise = BlockNoise(Streams(4)["env"], IDS, 2, "uniform", (), block=4)
    index = torch.tensor([[0, 9], [5, 5], [3, 4]])
    rows = noise.rows(index)
    assert rows.shape == (3, 2)
    for k in range(3):
        for b in range(2):
            assert rows[k, b] == noise.row(int(index[k, b]))[k, b]
