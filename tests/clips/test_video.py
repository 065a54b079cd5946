"""Videos: bytes per frame, sizes as text, and how ffmpeg opens a file."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from vmaf_train.clips.video import PIX_FMTS, Video, YuvFormat, count_frames, parse_dims
from vmaf_train.errors import InputError


@pytest.mark.parametrize(
    ("dims", "size"), [((1920, 1080), 3110400), ((480, 270), 194400), ((3, 3), 9 + 2 * 4)]
)
def test_chroma_planes_have_half_size_rounded_up(dims, size):
    assert YuvFormat(*dims).frame_bytes == size


@pytest.mark.parametrize("pix_fmt", PIX_FMTS)
def test_bytes_per_frame_are_those_that_ffmpeg_writes(pix_fmt, ffmpeg, tmp_path):
    still = ["-f", "lavfi", "-i", "color=gray:size=35x25", "-frames:v", "1"]
    still += ["-pix_fmt", pix_fmt, "-f", "rawvideo"]
    subprocess.run([ffmpeg.path, "-v", "error", *still, tmp_path / "frame.yuv"], check=True)
    assert YuvFormat(35, 25, pix_fmt).frame_bytes == (tmp_path / "frame.yuv").stat().st_size


@pytest.mark.parametrize("text", ["", "1920", "1920x", "0x10", "-4x4", "4 x 4", "1920X1080"])
def test_malformed_dims_are_refused(text):
    with pytest.raises(InputError, match="WIDTHxHEIGHT"):
        parse_dims(text)


def test_dims_are_width_then_height():
    assert (parse_dims("480x270").width, parse_dims("480x270").height) == (480, 270)


RAW = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "4x2", "-r", "25", "-i"]


def test_a_raw_video_states_its_format_and_another_only_its_path():
    raw = Video(Path("/a.yuv"), YuvFormat(4, 2), fps=25.0)
    assert raw.arguments() == [*RAW, "file:/a.yuv"]
    assert Video(Path("/a.mkv")).arguments() == ["-i", "file:/a.mkv"]


def test_a_range_of_frames_is_a_range_of_bytes():
    raw = Video(Path("/a.yuv"), YuvFormat(4, 2), fps=25.0)
    # A frame of 4x2 has 8 bytes of luma and 2 of each chroma.
    assert replace(raw, frames=(2, 5)).arguments() == [
        *RAW,
        "subfile,,start,24,end,60,,:file:/a.yuv",
    ]


@pytest.mark.parametrize("size", [0, 1, 11, 13])
def test_a_size_that_is_no_whole_number_of_frames_is_refused(size):
    assert count_frames(Path("a.yuv"), 36, YuvFormat(4, 2), "--size") == 3
    with pytest.raises(InputError, match=f"a.yuv: {size} bytes is not a whole number of 4x2 "):
        count_frames(Path("a.yuv"), size, YuvFormat(4, 2), "--size")
