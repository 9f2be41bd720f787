import sys

import numpy as np
import pytest
from PIL import Image

from drml.core.errors import InputError
from drml.report import save_film, save_strip


def moving_square(num_frames, height=240, width=320):
    noise = np.random.default_rng(0).integers(0, 60, (height, width, 3), dtype=np.uint8)
    frames = np.stack([np.roll(noise // 4 + 120, 2 * t, axis=1) for t in range(num_frames)])  # a textured ground
    frames[:, : height // 2] = (206, 222, 238)
    for t in range(num_frames):
        frames[t, height // 3 : height // 2, 3 * t : 3 * t + width // 8] = (190, 105, 60)
    return frames


def test_film_holds_every_picture_at_its_pace(tmp_path):
    frames = moving_square(10, 48, 64)
    path = save_film(frames, tmp_path / "films" / "a.webp", fps=20)
    with Image.open(path) as film:
        assert (film.format, film.n_frames, film.size) == ("WEBP", 10, (64, 48))
        assert film.info["loop"] == 0  # for ever
        for t in range(10):
            film.seek(t)
            film.load()
            assert film.info["duration"] == 50  # milliseconds: 1 / 20 s
            error = np.abs(np.asarray(film.convert("RGB"), dtype=float) - frames[t])
            assert error.mean() < 12  # lossy; a picture of another moment differs by far more in the square


def test_a_hundred_pictures_stay_small(tmp_path):
    assert save_film(moving_square(100), tmp_path / "a.webp").stat().st_size < 250_000


def test_strip_shows_first_to_last_evenly(tmp_path):
    levels = np.arange(11, dtype=np.uint8) * 20
    frames = np.broadcast_to(levels[:, None, None, None], (11, 8, 10, 3)).copy()
    with Image.open(save_strip(frames, tmp_path / "a.png", count=6)) as image:
        strip = np.asarray(image)
    assert strip.shape == (8, 6 * 10 + 5 * 4, 4)
    centres = strip[4, [5 + 14 * i for i in range(6)]]
    assert centres[:, 0].tolist() == [0, 40, 80, 120, 160, 200]  # moments 0, 2, ..., 10
    assert (centres[:, 3] == 255).all() and (strip[:, 10:14, 3] == 0).all()  # the gaps are transparent


def test_strip_of_a_short_film_shows_each_picture_once(tmp_path):
    frames = np.zeros((2, 8, 500, 3), dtype=np.uint8)
    with Image.open(save_strip(frames, tmp_path / "a.png")) as image:
        assert image.size == (2 * 240 + 4, 4)  # wide pictures are made smaller


@pytest.mark.parametrize("save", [save_film, save_strip])
@pytest.mark.parametrize(
    "frames", [np.zeros((2, 8, 8, 3)), np.zeros((8, 8, 3), np.uint8), np.zeros((0, 8, 8, 3), np.uint8)]
)
def test_what_is_not_a_film_is_refused(tmp_path, save, frames):
    with pytest.raises(InputError, match=r"expected uint8 \[T, height, width, 3\]"):
        save(frames, tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_without_pillow_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(InputError, match=r'^films need pillow: pip install "drml\[report\]"$'):
        save_film(np.zeros((1, 8, 8, 3), np.uint8), tmp_path / "a.webp")
