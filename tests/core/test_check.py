import math
import re
from dataclasses import dataclass

import pytest
import torch

from drml.core import check
from drml.core.check import check_finite, check_ranges, check_shapes
from drml.core.errors import InputError, NumericError, ResourceError


def test_shapes_that_agree():
    check_shapes(obs=(torch.zeros(2, 3, 4, 5), "K T B O"), reward=(torch.zeros(2, 3, 4), "K T B"))
    check_shapes(a=(torch.zeros(2, 3), "K ..."), b=(torch.zeros(2), "K ..."), c=(torch.zeros(2, 9, 9), "K T ..."))


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ((2, 3), (2, 4), r"b has shape \[2, 4\], expected \[K=2, T=3\]"),
        ((2, 3), (2,), r"b has shape \[2\], expected \[K=2, T=3\]"),
        ((2, 3), (2, 3, 1), r"b has shape \[2, 3, 1\], expected \[K=2, T=3\]"),
        ((2,), (2, 3), r"a has shape \[2\], expected \[K, T\]"),
    ],
)
def test_shapes_that_do_not_agree(first, second, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        check_shapes(a=(torch.zeros(first), "K T"), b=(torch.zeros(second), "K T"))


def test_open_ended_shapes_that_do_not_agree():
    with pytest.raises(InputError, match=r"b has shape \[3, 1\], expected \[K=2, \.\.\.\]"):
        check_shapes(a=(torch.zeros(2), "K"), b=(torch.zeros(3, 1), "K ..."))
    with pytest.raises(InputError, match=r"a has shape \[2\], expected \[K, T, \.\.\.\]"):
        check_shapes(a=(torch.zeros(2), "K T ..."))


def test_one_axis_twice_must_be_square():
    check_shapes(a=(torch.zeros(3, 3), "F F"))
    with pytest.raises(InputError, match="a has shape"):
        check_shapes(a=(torch.zeros(3, 4), "F F"))


def test_finite_numbers_pass():
    check_finite("loss", torch.tensor([1.0, -1e38, 0.0]))
    check_finite("nothing", torch.zeros(0))
    check_finite("counts", torch.tensor([1, 2]))


def test_numbers_that_are_not_finite_are_counted():
    with pytest.raises(NumericError, match=r"^loss: 2 of 4 numbers are not finite; lower the step sizes$"):
        check_finite("loss", torch.tensor([1.0, math.nan, -math.inf, 0.0]))


@dataclass
class Settings:
    count: float = 1
    share: float = 1.0
    size: float = 1.2e-38


def check_settings(settings):
    check_ranges(
        "my ", settings, at_least_1=["count"], between_0_and_1=["share"], above_0=["size"], at_least_0=["share"]
    )


def test_settings_at_the_ends_of_their_ranges_pass():
    check_settings(Settings())
    check_settings(Settings(share=0.0, count=10**9, size=math.inf))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(count=0), "my count is 0, must be 1 or more"),
        (Settings(share=1.01), "my share is 1.01, must be between 0 and 1"),
        (Settings(share=-1e-9), "my share is -1e-09, must be 0 or more"),
        (Settings(size=0.0), "my size is 0.0, must be above 0"),
        (Settings(size=math.nan), "my size is nan, must be above 0"),
        (Settings(size=1e300), "my size is 1e+300, must be 0 or between 1.2e-38 and 3.4e38 in size"),
        (Settings(size=1e-300), "my size is 1e-300, must be 0 or between 1.2e-38 and 3.4e38 in size"),
    ],
)
def test_a_setting_out_of_its_range_is_named(settings, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        check_settings(settings)


@pytest.mark.parametrize(
    ("groups", "files", "limits"),
    [
        (
            "0::/jobs/mine\n",
            {"jobs/mine/memory.max": "max", "jobs/memory.max": "5000", "memory.max": "9000"},
            [5000, 9000],
        ),
        (
            "4:memory:/a\n9:name=systemd:/\n0::/\n",
            {"memory/a/memory.limit_in_bytes": "7000", "memory/memory.limit_in_bytes": "8000"},
            [7000, 8000],
        ),
        ("0::/\n", {}, []),
        (None, {}, []),
    ],
)
def test_limits_of_control_groups_are_found_on_the_way_up(tmp_path, groups, files, limits):
    told = tmp_path / "cgroup"
    if groups is not None:
        told.write_text(groups)
    for name, text in files.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert list(check._group_limits(told, tmp_path / "root")) == limits


def test_memory_is_what_the_groups_leave(monkeypatch):
    monkeypatch.setattr(check, "_group_limits", lambda: iter([10**9, 2 * 10**9]))
    assert check.machine_memory() == 10**9
    check.check_memory("a little", 10**8)
    with pytest.raises(ResourceError, match=r"much takes 4 GB of memory or more, the machine has 1 GB; take less"):
        check.check_memory("much", 10**9, "; take less")
