import pytest
import torch

from drml.core.errors import InputError
from drml.core.segments import Segment, grown_by


def test_the_oldest_go_where_the_bound_is_reached():
    grown = ()
    for i in range(5):
        grown = grown_by(grown, {"x": torch.full((4,), float(i)), "deep": {"y": torch.zeros(2)}}, max_bytes=3 * 24)
    assert [segment.number for segment in grown] == [2, 3, 4]  # 4 + 2 numbers of 4 bytes each
    assert [float(segment.tree["x"][0]) for segment in grown] == [2.0, 3.0, 4.0]
    assert sum(segment.num_bytes for segment in grown) == 3 * 24
    with pytest.raises(InputError, match=r"^a segment of 80 bytes exceeds the bound of 72 by itself"):
        grown_by(grown, {"x": torch.zeros(20)}, max_bytes=72)


def test_a_segment_is_itself_and_not_one_of_equal_content():
    one, other = (Segment(0, {"x": torch.zeros(1)}) for _ in range(2))
    assert one != other and len({one, other}) == 2
