"""Pairs: ranges of frames as text, and clips chosen in turn."""

import pytest

from vmaf_train.clips.pairs import first_in_turn, parse_frames
from vmaf_train.errors import InputError


@pytest.mark.parametrize(
    "text", ["", "5", "5:", ":5", "5:5", "6:5", "-1:5", "0:5:2", "a:b", "0 : 5"]
)
def test_malformed_frame_ranges_are_refused(text):
    with pytest.raises(InputError, match="no range FIRST:END"):
        parse_frames(text)


def test_a_range_of_frames_is_first_and_end():
    assert parse_frames("0:48") == (0, 48)


@pytest.mark.parametrize(
    ("max_pairs", "indices"), [(0, [0, 1, 2, 3]), (2, [0, 3]), (3, [0, 1, 3]), (9, [0, 1, 2, 3])]
)
def test_clips_are_chosen_with_their_sources_in_turn(max_pairs, indices):
    assert first_in_turn(["A", "A", "A", "B"], max_pairs) == indices
