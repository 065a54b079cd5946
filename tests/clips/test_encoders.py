"""Ladders as text, heights of rungs, and the encoders that an ffmpeg has."""

import pytest

from vmaf_train.clips.encoders import ENCODERS, Rung, find_encoders, read_ladder
from vmaf_train.errors import InputError


def test_a_rung_states_size_and_rate():
    assert read_ladder("0.5@crf30, 540p@800k") == [
        Rung(share=0.5, lines=0, crf=30, kbps=None),
        Rung(share=0.0, lines=540, crf=None, kbps=800),
    ]
    assert [rung.rate for rung in read_ladder("1@crf0,1@5k")] == ["crf0", "5k"]


@pytest.mark.parametrize(
    "text", ["", "0.5", "0.5@30", "2@crf30", "0@crf30", "540@crf30", "1@crf30,1@crf30", "1@0k"]
)
def test_a_malformed_ladder_is_refused_with_an_example(text):
    with pytest.raises(InputError, match=r"such as 0\.5@crf30 or 540p@800k"):
        read_ladder(text)


def test_a_scaled_height_is_even_and_the_own_height_stays():
    half, own = read_ladder("0.5@crf30,1@crf30")
    assert (half.height_of(270), own.height_of(271)) == (136, 271)


def test_every_encoder_has_a_ladder_of_eight_rungs():
    assert {name: len(read_ladder(row.ladder)) for name, row in ENCODERS.items()} == dict.fromkeys(
        ENCODERS, 8
    )


def test_an_encoder_that_is_unknown_or_not_there_is_refused(ffmpeg, tmp_path):
    there = find_encoders(("libx264", "libsvtav1"), ffmpeg.path)
    assert "yuv422p10le" in there["libx264"]
    assert there["libsvtav1"] == {"yuv420p", "yuv420p10le"}
    assert set(find_encoders((), ffmpeg.path)) == set(ENCODERS)
    with pytest.raises(InputError, match="unknown encoder x264; choose some of: libx264"):
        find_encoders(("x264",), ffmpeg.path)
    few = tmp_path / "ffmpeg"
    few.write_text(f'#!/bin/sh\ncase "$*" in *vp9*) exit 1;; esac; exec {ffmpeg.path} "$@"\n')
    few.chmod(0o755)
    with pytest.raises(InputError, match=r"no encoder libvpx-vp9; it has libx264, libx265, libsvt"):
        find_encoders(("libvpx-vp9",), few)
