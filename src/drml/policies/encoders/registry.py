"""The encoders by name, and which one an observation asks for."""

from dataclasses import dataclass
from typing import Literal

from drml.core.check import check_ranges
from drml.core.errors import InputError
from drml.core.observation import LARGEST_BYTE, Part
from drml.core.types import EnvSpec
from drml.policies.encoders.api import PREFIX, Encoder
from drml.policies.encoders.flat import Flat
from drml.policies.encoders.joined import Joined, Seen
from drml.policies.encoders.pictures import Picture
from drml.policies.encoders.residual import Residual
from drml.policies.encoders.small import Small
from drml.policies.encoders.symbols import Symbols

EncoderKind = Literal["auto", "flat", "small", "residual", "symbols"]
SMALLEST_PICTURE = 16  # pixels of the shorter side: what has fewer is a grid of symbols, whatever bounds it declares


@dataclass(frozen=True)
class EncoderConfig:
    """The layers in front of a policy that see pictures and symbols.

    Raises:
        InputError: if a size is out of its range.
    """

    kind: EncoderKind = "auto"
    """Kind of encoder: small (three convolutions), residual (IMPALA's), symbols (an embedding of small whole numbers),
    flat (numbers one after the other); auto chooses small for pictures, symbols for symbols, and else flat."""
    features: int = 256
    """Numbers that it makes of all pictures and symbols (Atari: 512; IMPALA: 256)."""
    symbol_size: int = 8
    """Length of the vector that a symbol becomes (XLand-MiniGrid: 16)."""

    def __post_init__(self) -> None:
        check_ranges("encoder ", self, at_least_1=("features", "symbol_size"))


FLAT = EncoderConfig("flat")
"""The encoder of runs that were made before there were any."""


def encoder_of(config: EncoderConfig, spec: EnvSpec) -> Encoder:
    """Return the encoder that a configuration describes, for the observations of an environment.

    Raises:
        InputError: if it is to see pictures or symbols, and there are none.
    """
    seen = tuple(_seen(config, part, f"{PREFIX}part{i}.") for i, part in enumerate(spec.parts))
    if any(one.layers for one in seen):
        return Joined(seen, config.features)
    if config.kind in ("auto", "flat"):
        return Flat(spec.parts)
    raise InputError(
        f"an encoder of kind {config.kind} has nothing to see: the observation is {spec.obs_size} numbers and holds no "
        "picture (a Box of uint8); choose auto or flat"
    )


def _seen(config: EncoderConfig, part: Part, name: str) -> Seen:
    kind = kind_for(part) if config.kind == "auto" else config.kind
    picture = Picture.of(part.shape)
    if kind == "flat" or _is_plain(part):
        return Seen(part)
    if kind == "symbols":
        grid = picture or Picture.row(part.size)
        sizes = grid.channels, grid.height, grid.width
        return Seen(part, grid, Symbols(name, *sizes, part.low, part.high, config.symbol_size))
    if picture is None:
        return Seen(part)
    largest = {"picture": LARGEST_BYTE, "symbols": max(part.high, 1)}.get(part.kind, 1)
    make = Residual if kind == "residual" else Small
    return Seen(part, picture, make(name, picture.channels, picture.height, picture.width, 1.0 / largest))


def kind_for(part: Part) -> EncoderKind:
    """Return which encoder `auto` chooses for a part of an observation."""
    picture = Picture.of(part.shape)
    if part.kind == "symbols":
        return "symbols"
    if picture is None or _is_plain(part):
        return "flat"
    if part.kind == "picture" and min(picture.height, picture.width) < SMALLEST_PICTURE:
        return "symbols"
    return "small"


def _is_plain(part: Part) -> bool:
    """Return whether there is nothing in a part that a picture's neighbourhoods would tell: numbers, and flags."""
    return part.kind == "numbers" or (part.kind == "bits" and len(part.shape) < 3)
