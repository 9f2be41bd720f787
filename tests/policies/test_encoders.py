from dataclasses import replace

import pytest
import torch
from torch import nn

from drml.core.errors import InputError
from drml.core.observation import Part, as_numbers, width_of
from drml.core.rng import Streams
from drml.core.types import ActionSpec, EnvSpec
from drml.policies.encoders import convolution
from drml.policies.encoders.convolution import Geometry, convolve
from drml.policies.encoders.flat import Flat
from drml.policies.encoders.pictures import Picture
from drml.policies.encoders.registry import EncoderConfig, encoder_of, kind_for
from drml.policies.mlp import MLPConfig, mlp_policy

K, N = 3, 4
ACTION = ActionSpec("discrete", 3)
ATARI = Part("picture", (84, 84, 4))
GRID = Part("symbols", (7, 7, 3), 0, 10)
NUMBERS = Part("numbers", (2,))
LAYERS = {
    "strided": Geometry(2, 3, 9, 8, 4, 2),
    "padded": Geometry(3, 2, 5, 6, 3, 1, 1),
    "padded and strided": Geometry(1, 2, 7, 5, 3, 2, 1),
    "rows that no kernel reaches": Geometry(2, 2, 8, 8, 3, 2),
}


def spec_of(*parts):
    return EnvSpec(width_of(parts), ACTION, 10, parts)


def bytes_of(*parts, lead=(K, N), high=255):
    numbers = Streams(0)["obs"].uniform((*lead, width_of(parts)))
    return (numbers * high).to(torch.uint8)


def stacked_params(encoder, dtype=torch.float32):
    """One set of weights per task, different ones."""
    sets = [encoder.init(Streams(seed)) for seed in range(K)]
    return {name: torch.stack([params[name] for params in sets]).to(dtype) for name in sets[0]}


@pytest.fixture(params=[0, 1 << 40], ids=["one call per task", "one call of K groups"])
def either_way(request, monkeypatch):
    monkeypatch.setattr(convolution, "GROUPED_BELOW", request.param)


# ---------------------------------------------------------------- convolutions


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_stacked_convolutions_are_those_of_torch_one_by_one(layer):
    rng = Streams(1)
    x = rng["x"].normal((K, N, layer.channels, layer.height, layer.width)).double()
    w, b = rng["w"].normal((K, *layer.weight_shape)).double(), rng["b"].normal((K, layer.filters)).double()
    one_by_one = [nn.functional.conv2d(x[k], w[k], b[k], layer.stride, layer.padding) for k in range(K)]
    torch.testing.assert_close(convolve(x, w, b, layer), torch.stack(one_by_one), rtol=1e-13, atol=1e-13)
    assert convolve(x, w, b, layer).shape[2:] == (layer.filters, *layer.out)
    shared = nn.functional.conv2d(x.flatten(0, 1), w[0], b[0], layer.stride, layer.padding)
    torch.testing.assert_close(convolve(x, w[0], b[0], layer).flatten(0, 1), shared, rtol=1e-13, atol=1e-13)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_convolutions_are_exact_to_third_order(layer):
    rng = Streams(2)
    small = replace(layer, height=min(layer.height, 6), width=min(layer.width, 6))
    x = rng["x"].normal((2, 2, small.channels, small.height, small.width)).double().requires_grad_()
    w = (0.3 * rng["w"].normal((2, *small.weight_shape)).double()).requires_grad_()
    b = rng["b"].normal((2, small.filters)).double().requires_grad_()

    def bent(*args):
        return convolve(*args, small).sin()  # a convolution alone has a second derivative in x and w mixed only

    def slope(x, w, b):
        first = torch.autograd.grad(bent(x, w, b).sum(), [x, w, b], create_graph=True)
        return sum(grad.pow(2).sum() for grad in first)

    assert torch.autograd.gradcheck(bent, (x, w, b))
    assert torch.autograd.gradcheck(slope, (x, w, b))
    assert torch.autograd.gradgradcheck(slope, (x, w, b), atol=1e-4)


def test_a_convolution_worked_by_hand():
    layer = Geometry(1, 1, 2, 3, 2)
    x = torch.tensor([[[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]]])
    w, b = torch.tensor([[[[[1.0, 0.0], [0.0, -1.0]]]]]), torch.tensor([[10.0]])
    assert convolve(x, w, b, layer).tolist() == [[[[[6.0, 6.0]]]]]  # 1 − 5 + 10, 2 − 6 + 10


# ---------------------------------------------------------------- whole encoders


PARTS = {
    "atari, small": ((ATARI,), "small"),
    "procgen, residual": ((Part("picture", (20, 17, 3)),), "residual"),
    "minigrid, symbols": ((GRID,), "symbols"),
    "minigrid, small": ((GRID,), "small"),
    "planes": ((Part("bits", (10, 10, 4)),), "auto"),
    "frames of a grey picture": ((Part("picture", (4, 40, 40)),), "auto"),
    "picture and numbers": ((Part("picture", (20, 20)), NUMBERS, Part("bits", (4,))), "auto"),
    "symbols in a row": ((Part("symbols", (5,), 2, 6),), "auto"),
}


@pytest.mark.parametrize(("parts", "kind"), PARTS.values(), ids=PARTS)
def test_stacked_encoders_are_those_of_each_task(parts, kind):
    encoder = encoder_of(EncoderConfig(kind, 32), spec_of(*parts))
    obs, params = bytes_of(*parts), stacked_params(encoder, torch.float64)
    found = encoder.encode(params, obs)
    assert found.shape == (K, N, encoder.size_of(width_of(parts)))
    for k in range(K):
        alone = encoder.encode({name: value[k] for name, value in params.items()}, obs[k : k + 1])[0]
        torch.testing.assert_close(found[k], alone, rtol=1e-12, atol=1e-12)
    assert sum(value[0].numel() for value in params.values()) == encoder.num_weights
    assert all(name.startswith("encoder.") for name in params)


@pytest.mark.parametrize(("parts", "kind"), PARTS.values(), ids=PARTS)
def test_steps_and_copies_are_rows(parts, kind):
    encoder = encoder_of(EncoderConfig(kind, 8), spec_of(*parts))
    obs, params = bytes_of(*parts, lead=(K, 2, 3)), stacked_params(encoder)
    torch.testing.assert_close(
        encoder.encode(params, obs), encoder.encode(params, obs.flatten(1, 2)).unflatten(1, (2, 3))
    )


def test_the_small_encoder_is_the_nature_network():
    encoder = encoder_of(EncoderConfig("small", 512), spec_of(ATARI))
    params = encoder.init(Streams(0))
    layers = [nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Flatten())
    for i, name in ((0, "0"), (2, "1"), (4, "2")):
        own = {part: params[f"encoder.part0.conv{name}.{part}"] for part in ("weight", "bias")}
        net[i].load_state_dict(own)
    assert params["encoder.linear.weight"].shape == (3136, 512)  # 64 maps of 7 x 7
    obs = bytes_of(ATARI, lead=(1, 2))
    pixels = obs.view(2, 84, 84, 4).permute(0, 3, 1, 2) / 255.0
    expected = (net(pixels) @ params["encoder.linear.weight"]).relu()
    torch.testing.assert_close(encoder.encode(params, obs)[0], expected, rtol=1e-4, atol=1e-5)


def test_the_small_encoder_of_a_small_picture_is_minigrids():
    encoder = encoder_of(EncoderConfig("small", 9), spec_of(Part("picture", (7, 7, 3))))
    params = encoder.init(Streams(0))
    shapes = [tuple(params[f"encoder.part0.conv{i}.weight"].shape) for i in range(3)]
    assert shapes == [(16, 3, 2, 2), (32, 16, 2, 2), (64, 32, 2, 2)]
    assert params["encoder.linear.weight"].shape == (64, 9)


def test_the_residual_encoder_is_impalas():
    encoder = encoder_of(EncoderConfig("residual"), spec_of(Part("picture", (64, 64, 3))))
    params = encoder.init(Streams(0))
    # Procgen's network has 626,256 numbers, with 15 actions and a value on top of these
    assert sum(value.numel() for value in params.values()) == encoder.num_weights == 626_256 - 16 * 257
    assert params["encoder.linear.weight"].shape == (2048, 256)  # 32 maps of 8 x 8
    assert len([name for name in params if "conv" in name]) == 2 * 15


def test_an_embedding_reads_a_row_of_its_own_for_each_symbol_of_each_channel():
    encoder = encoder_of(EncoderConfig("symbols", 2, 1), spec_of(Part("symbols", (2,), 3, 5)))
    table = torch.tensor([[[1.0], [2.0], [3.0]], [[10.0], [20.0], [30.0]]])
    linear = {"encoder.linear.weight": torch.eye(2), "encoder.linear.bias": torch.zeros(2)}
    obs = torch.tensor([[[3, 5], [5, 3], [0, 255]]], dtype=torch.uint8)  # beyond the bounds: the nearest
    found = encoder.encode({"encoder.part0.table": table} | linear, obs)
    assert found.tolist() == [[[1.0, 30.0], [3.0, 10.0], [1.0, 30.0]]]


def test_numbers_and_bits_stand_beside_the_features():
    parts = (Part("bits", (2,)), Part("picture", (20, 20)), NUMBERS)
    encoder = encoder_of(EncoderConfig(features=8), spec_of(*parts))
    obs = bytes_of(*parts, lead=(1, 1))
    obs[..., :2] = torch.tensor([0, 1])
    obs[..., -8:] = torch.tensor([1.5, -2.0]).view(torch.uint8)
    assert encoder.size_of(0) == 8 + 4
    assert encoder.encode(encoder.init(Streams(0)), obs)[0, 0, 8:].tolist() == [0.0, 1.0, 1.5, -2.0]


def test_flat_is_the_observation_itself():
    obs = torch.randn((K, N, 5), generator=torch.Generator().manual_seed(0))
    encoder = encoder_of(EncoderConfig(), EnvSpec(5, ACTION, 10))
    assert encoder == Flat() and encoder.encode({}, obs) is obs
    spec = spec_of(Part("picture", (3,)))
    assert (
        encoder_of(EncoderConfig(), spec)
        .encode({}, bytes_of(*spec.parts))
        .equal(as_numbers(spec.parts, bytes_of(*spec.parts)))
    )


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        (Part("picture", (84, 84, 3)), "small"),
        (Part("picture", (16, 16)), "small"),
        (Part("picture", (7, 7, 3)), "symbols"),
        (Part("picture", (128,)), "flat"),
        (Part("picture", (4, 84, 84, 3)), "small"),
        (Part("picture", (2, 4, 84, 84, 3)), "flat"),
        (Part("symbols", (9,), 0, 3), "symbols"),
        (Part("bits", (10, 10, 6)), "small"),
        (Part("bits", (4, 4)), "flat"),
        (Part("numbers", (10, 10, 3)), "flat"),
    ],
)
def test_auto_chooses_by_kind_and_size(part, kind):
    assert kind_for(part) == kind


@pytest.mark.parametrize("kind", ["small", "residual", "symbols"])
def test_an_encoder_that_has_nothing_to_see_is_refused(kind):
    with pytest.raises(InputError, match=rf"kind {kind} has nothing to see: the observation is 4 numbers"):
        encoder_of(EncoderConfig(kind), EnvSpec(4, ACTION, 10))


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        ((5, 6), (1, 5, 6)),
        ((5, 6, 3), (3, 5, 6)),
        ((3, 5, 6), (3, 5, 6)),
        ((4, 5, 6, 3), (12, 5, 6)),
    ],
)
def test_the_axes_of_pictures(shape, sizes):
    picture = Picture.of(shape)
    assert (picture.channels, picture.height, picture.width) == sizes
    values = torch.arange(torch.Size(shape).numel()).view(1, 1, -1)
    planes = picture.planes(values)[0, 0]
    whole = values.view(shape)
    channels_last = whole.movedim(-1, 0 if len(shape) == 3 else 1)
    by_channel = {2: whole[None], 3: whole if shape[0] == 3 else channels_last, 4: channels_last.flatten(0, 1)}
    for c, expected in enumerate(by_channel[len(shape)]):
        assert torch.equal(planes[c], expected)


@pytest.mark.parametrize("kind", ["auto", "residual"])
def test_policies_sample_the_same_from_shared_and_from_stacked_equal_weights(kind):
    spec = spec_of(Part("picture", (20, 20, 3)))
    policy = mlp_policy(spec, MLPConfig(hidden=(8,), encoder=EncoderConfig(kind, 16)))
    params, obs = policy.init(Streams(0)), bytes_of(*spec.parts)
    stacked = {name: value.expand(K, *value.shape) for name, value in params.items()}
    torch.testing.assert_close(policy.step(params, obs, {})[0].logits, policy.step(stacked, obs, {})[0].logits)
