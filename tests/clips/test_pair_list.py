"""A list of pairs: any videos, found faults before a pass, names of sources and clips."""

import re
import shlex
from pathlib import Path

import pytest
from video_making import draw, encode, run

from vmaf_train.clips.layouts import scan
from vmaf_train.clips.looking import Looks
from vmaf_train.clips.pairs import Reading
from vmaf_train.clips.video import YuvFormat
from vmaf_train.errors import InputError


def reading(ffmpeg, folder, **options):
    return Reading(YuvFormat(), looks=Looks(ffmpeg.path, folder / "looks"), **options)


def write_list(folder: Path, *rows: str, columns: str = "ref,dis") -> Path:
    path = folder / "pairs.csv"
    path.write_text("\n".join([columns, *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def videos(ffmpeg, tmp_path_factory):
    """Return a folder with one reference and distorted clips that differ from it in one way."""
    folder = tmp_path_factory.mktemp("videos")
    draw(ffmpeg, folder / "ref.mkv")
    for name, options in {
        "good.mp4": "-c:v libx264 -crf 40",
        "short.mkv": "-c:v libx264 -frames:v 9",
        "small.mkv": "-c:v libx264 -vf scale=48:36",
        "deep.mkv": "-c:v libx264 -pix_fmt yuv420p10le",
        "wide.mkv": "-c:v libx264 -pix_fmt yuv444p",
        "full.mkv": "-c:v libx264 -vf scale=out_range=pc -color_range pc",
        "fields.mkv": "-c:v libx264 -vf setfield=tff -flags +ildct+ilme",
        "gaps.mkv": r"-c:v libx264 -vf select=not(between(n\\,5\\,6)) -fps_mode vfr",
        "rgb.mkv": "-c:v ffv1 -pix_fmt gbrp",
    }.items():
        encode(ffmpeg, folder / "ref.mkv", folder / name, options)
    turned = ["-display_rotation", "90", "-i", str(folder / "good.mp4"), "-c", "copy"]
    run(ffmpeg, *turned, str(folder / "turned.mp4"))
    (folder / "text.mp4").write_text("This is no video.\n" * 20)
    return folder


FAULTS = {
    "short.mkv": r"holds 9 frames but its reference .*ref\.mkv holds 12; cut both to the same "
    r"frames \(ffmpeg -i \S*ref\.mkv -frames:v 9 -c:v ffv1 -an \S*ref_repaired\.mkv\)",
    "small.mkv": r"is 48x36, its reference .* 64x48; pass scale=ref .*scale=64:48:flags=bicubic",
    "deep.mkv": r"is yuv420p10le, its reference \S* yuv420p; convert one: "
    r"ffmpeg -i \S*ref\.mkv -pix_fmt yuv420p10le",
    "wide.mkv": r"is yuv444p, its reference .*-i \S*ref\.mkv -pix_fmt yuv444p",
    "full.mkv": r"has another range of luma than .*scale=out_range=tv -color_range tv",
    "fields.mkv": r"is interlaced; repair it: .*bwdif",
    "gaps.mkv": r"has a variable frame rate; repair it: .*-fps_mode cfr -r 25",
    "rgb.mkv": r"has the pixel format bgr0.*; repair it: .*-pix_fmt yuv444p",
    "turned.mp4": r"is shown rotated by 90 degrees; repair it: ffmpeg -i \S*turned\.mp4 -c:v ffv1",
    "text.mp4": r"text\.mp4 holds no video that ffmpeg reads",
    "gone.mp4": r"no file .*gone\.mp4",
}


@pytest.mark.parametrize("dis", FAULTS)
def test_a_row_that_cannot_be_compared_is_left_out_with_the_command_that_repairs_it(
    ffmpeg, tmp_path, videos, dis
):
    path = write_list(
        tmp_path, *(f"{videos}/ref.mkv,{videos}/{name}" for name in ("good.mp4", dis))
    )
    found = scan(path, reading(ffmpeg, tmp_path))
    assert [pair.clip for pair in found.pairs] == ["good"]
    (line,) = found.left_out
    assert re.search(FAULTS[dis], line), line
    with pytest.raises(InputError, match="strict is on"):
        scan(path, reading(ffmpeg, tmp_path), strict=True)


# No command makes these comparable with a reference that is not turned, or makes them videos.
NOT_REPAIRED = ("turned.mp4", "text.mp4", "gone.mp4")


@pytest.mark.parametrize("dis", [name for name in FAULTS if name not in NOT_REPAIRED])
def test_the_named_command_repairs_the_pair(ffmpeg, tmp_path, videos, dis):
    pair = {videos / name: tmp_path / name for name in ("ref.mkv", dis)}
    for path, copy in pair.items():
        copy.symlink_to(path)
    columns = "ref,dis,scale"
    for _ in range(3):
        ref, distorted = pair.values()
        path = write_list(tmp_path, f"{ref},{distorted},none", columns=columns)
        try:
            assert len(scan(path, reading(ffmpeg, tmp_path)).pairs) == 1
        except InputError as error:
            command = re.search(r"ffmpeg (-i \S+ .*?_repaired\.mkv)", str(error))
            assert command, error
            arguments = shlex.split(command[1])
            run(ffmpeg, *arguments)
            repaired = Path(arguments[1])
            pair = {k: Path(arguments[-1]) if v == repaired else v for k, v in pair.items()}
        else:
            break
    else:
        pytest.fail(f"{dis} is refused after its repair")


def test_a_distorted_video_of_another_size_is_scaled_if_asked_for(ffmpeg, tmp_path, videos):
    rows = [f"{videos}/ref.mkv,{videos}/{name}" for name in ("good.mp4", "small.mkv")]
    asked = scan(write_list(tmp_path, *rows), reading(ffmpeg, tmp_path, scale=True)).pairs
    assert {pair.clip: pair.dis.scaled_to for pair in asked} == {"good": None, "small": (64, 48)}
    rows = [f"{row},{scale}" for row, scale in zip(rows, ("", "ref"), strict=True)]
    stated = scan(write_list(tmp_path, *rows, columns="ref,dis,scale"), reading(ffmpeg, tmp_path))
    assert stated.pairs == asked


def test_columns_state_source_score_frames_and_offset(ffmpeg, tmp_path, videos):
    ref, dis = videos / "ref.mkv", videos / "good.mp4"
    columns = "ref,dis,source,mos,frames,offset"
    path = write_list(tmp_path, f"{ref},{dis},Park,71.5,2:8,3", columns=columns)
    (pair,) = scan(path, reading(ffmpeg, tmp_path)).pairs
    assert (pair.source, pair.mos, pair.n_frames, pair.offset) == ("Park", 71.5, 6, 3)
    assert (pair.dis.frames, pair.ref.frames) == ((2, 8), (5, 11))


def test_a_shorter_video_is_used_where_the_row_states_frames_that_both_hold(
    ffmpeg, tmp_path, videos
):
    row = f"{videos}/ref.mkv,{videos}/short.mkv,0:9"
    (pair,) = scan(
        write_list(tmp_path, row, columns="ref,dis,frames"), reading(ffmpeg, tmp_path)
    ).pairs
    assert pair.n_frames == 9


@pytest.mark.parametrize(
    ("columns", "row", "message"),
    [
        ("ref,dis,mos", "{ref},{dis},good", r"row 1 has 'good' in column mos"),
        ("ref,dis,mos", "{ref},{dis},nan", r"row 1 has 'nan' in column mos"),
        ("ref,dis,mos,dmos", "{ref},{dis},1,2", r"a column mos and a column dmos; keep one"),
        ("ref,dis,frames", "{ref},{dis},9", r"row 1: frames '9' is no range"),
        (
            "ref,dis,scale",
            "{ref},{dis},dis",
            r"row 1: scale 'dis' is unknown; choose one of: none, ref",
        ),
        ("ref,dis,offset", "{ref},{dis},1.5", r"row 1: offset '1.5' is no whole number"),
        ("ref,dis,source", "{ref},{dis},a b", r"row 1: 'a b' is no name of a source; use letters"),
        ("ref,dis", "{ref},{dis}\n{ref},{dis}", r"names \S*good\.mp4 in 2 rows; keep one"),
        ("ref,dis", "{ref},{dis}\n{dis},{other}", None),
        (
            "ref,dis",
            "{ref},{dis}\n{double},{other}",
            r"would both be the source ref; name the source",
        ),
        ("ref,dis", "{ref},raw.yuv", r"raw and does not state its size"),
    ],
)
def test_a_malformed_list_is_refused_by_row(ffmpeg, tmp_path, videos, columns, row, message):
    (tmp_path / "raw.yuv").write_bytes(b"x")
    named = {"ref": videos / "ref.mkv", "dis": videos / "good.mp4", "other": videos / "small.mkv"}
    row = row.format(**named, double=videos.parent / "ref.mp4")
    path = write_list(tmp_path, row, columns=columns)
    if message is None:
        assert {
            pair.source for pair in scan(path, reading(ffmpeg, tmp_path, scale=True)).pairs
        } == {"ref", "good"}
    else:
        with pytest.raises(InputError, match=message):
            scan(path, reading(ffmpeg, tmp_path))


def test_clips_of_one_name_are_told_apart_by_their_folders(ffmpeg, tmp_path, videos):
    for folder in ("x264", "x265 slow"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "clip.mp4").symlink_to(videos / "good.mp4")
    rows = [f"{videos}/ref.mkv,x264/clip.mp4", f"{videos}/ref.mkv,x265 slow/clip.mp4"]
    pairs = scan(write_list(tmp_path, *rows), reading(ffmpeg, tmp_path)).pairs
    assert [pair.clip for pair in pairs] == ["x264_clip", "x265_slow_clip"]


def test_raw_files_of_any_depth_stand_beside_others(ffmpeg, tmp_path, videos):
    draw(ffmpeg, tmp_path / "ref.yuv", options="-f rawvideo -pix_fmt yuv422p10le")
    draw(ffmpeg, tmp_path / "dis.y4m", options="-pix_fmt yuv422p10le -strict -1")
    path = write_list(tmp_path, "ref.yuv,dis.y4m,64x48,yuv422p10le", columns="ref,dis,size,pix_fmt")
    (pair,) = scan(path, reading(ffmpeg, tmp_path)).pairs
    assert (str(pair.format), pair.format.pix_fmt, pair.n_frames) == ("64x48", "yuv422p10le", 12)


def test_a_look_is_kept_until_the_file_changes(ffmpeg, tmp_path, videos):
    path = write_list(tmp_path, f"{videos}/ref.mkv,{tmp_path}/dis.mkv")
    draw(ffmpeg, tmp_path / "dis.mkv")
    looks = Looks(ffmpeg.path, tmp_path / "looks")
    scan(path, Reading(YuvFormat(), looks=looks))
    kept = Looks(Path("no-such-ffmpeg"), tmp_path / "looks")
    assert len(scan(path, Reading(YuvFormat(), looks=kept)).pairs) == 1
    draw(ffmpeg, tmp_path / "dis.mkv", frames=11)
    with pytest.raises(InputError, match="holds 11 frames but its reference"):
        scan(path, Reading(YuvFormat(), looks=looks))
