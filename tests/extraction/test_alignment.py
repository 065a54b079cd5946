"""Offsets between two videos: found in moving content, never claimed where nothing tells."""

import numpy as np
import pytest
from video_making import draw, encode, run

from vmaf_train.clips.video import Video
from vmaf_train.extraction.alignment import FRAMES, HEIGHT, SMALL, WIDTH, find_offset, remark

# Moving content, and content of which most or all frames look alike.
MOVING = "mandelbrot=size=320x180:rate=25,noise=alls=6:all_seed=1"
SLIDES = "testsrc2=size=320x180:rate=1,fps=25"
STILL = "testsrc2=size=320x180:rate=25,loop=loop=-1:size=1"
GRAINY_STILL = f"{STILL},noise=alls=15:allf=t:all_seed=1"
BLACK = "color=black:size=320x180:rate=25"
NOISE = "color=gray:size=320x180:rate=25,noise=alls=60:allf=t:all_seed=1"
FADE = "mandelbrot=size=320x180:rate=25,fade=in:0:30,fade=out:60:30"


def drawn(ffmpeg, folder, graph, frames=96):
    """Return a reference and an encode of it."""
    ref, dis = folder / "ref.mkv", folder / "dis.mkv"
    run(ffmpeg, "-f", "lavfi", "-i", graph, "-frames:v", str(frames), "-c:v", "ffv1", str(ref))
    encode(ffmpeg, ref, dis, "-c:v libx264 -crf 34 -preset superfast")
    return ref, dis


def small(ffmpeg, path, tmp_path):
    out = tmp_path / f"{path.stem}.gray"
    run(ffmpeg, "-i", str(path), "-vf", SMALL, "-f", "rawvideo", str(out))
    return np.fromfile(out, np.uint8).reshape(-1, WIDTH * HEIGHT)


@pytest.mark.parametrize("graph", [MOVING, SLIDES, STILL, GRAINY_STILL, BLACK, NOISE, FADE])
def test_no_offset_is_claimed_for_videos_that_belong_together(ffmpeg, tmp_path, graph):
    ref, dis = (small(ffmpeg, path, tmp_path) for path in drawn(ffmpeg, tmp_path, graph))
    assert find_offset(ref, dis) == 0


@pytest.mark.parametrize("offset", [1, 3, 12, -1, -3, -12])
def test_an_offset_of_moving_content_is_found_with_its_sign(ffmpeg, tmp_path, offset):
    ref, dis = (small(ffmpeg, path, tmp_path) for path in drawn(ffmpeg, tmp_path, MOVING))
    shown = (ref, dis[offset:]) if offset > 0 else (ref[-offset:], dis)
    assert find_offset(*shown) == offset


def test_an_offset_of_slides_is_found_where_they_change(ffmpeg, tmp_path):
    ref, dis = (small(ffmpeg, path, tmp_path) for path in drawn(ffmpeg, tmp_path, SLIDES))
    assert find_offset(ref, dis[3:]) == 3


def test_videos_of_a_few_frames_give_no_offset():
    pictures = np.zeros((4, WIDTH * HEIGHT), np.uint8)
    assert find_offset(pictures, pictures) == 0
    assert find_offset(pictures[:0], pictures[:0]) == 0


def test_only_the_first_frames_are_read(ffmpeg, tmp_path):
    path = draw(ffmpeg, tmp_path / "long.mkv", frames=FRAMES + 20)
    assert len(small(ffmpeg, path, tmp_path)) == FRAMES


def test_the_remark_names_the_option_that_repairs_it():
    assert remark(0) is None
    assert "3 frames later than its reference" in remark(3)
    assert "pass --offset -3, or --offset auto" in remark(-3)


@pytest.mark.parametrize("rate", ["24", "30000/1001", "60"])
def test_an_offset_does_not_depend_on_the_frame_rate(ffmpeg, tmp_path, rate):
    ref = draw(ffmpeg, tmp_path / "ref.mkv", size="320x180", rate=rate, frames=60)
    late = "-vf trim=start_frame=7,setpts=PTS-STARTPTS -c:v libx264 -crf 30"
    dis = encode(ffmpeg, ref, tmp_path / "dis.mkv", late)
    assert ffmpeg.find_offset(Video(ref), Video(dis)) == 7
