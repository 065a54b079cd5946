"""Passes over videos that are not raw: the same scores, every frame, nothing cached if in doubt."""

import os
import shutil

import pytest
from conftest import Lines
from video_making import draw, encode, run

from vmaf_train.clips.video import Video
from vmaf_train.commands.prewarm import prewarm
from vmaf_train.errors import ExtractionError, InputError
from vmaf_train.extraction.alignment import remark
from vmaf_train.extraction.cache import cache_root
from vmaf_train.features import find_feature_set
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.frames.opening import open_corpus
from vmaf_train.reporting import Reporter

FORMATS = ["yuv420p", "yuv422p10le", "yuv444p12le"]


def write_list(folder, *rows, columns="ref,dis"):
    path = folder / "pairs.csv"
    path.write_text("\n".join([columns, *rows]) + "\n")
    return CorpusChoice(corpus=str(path))


def table_of(choice, **options):
    return open_corpus(choice, Reporter(), **options).table(())


def entries():
    return sorted(path.name for path in cache_root().glob("[!_]*/*.json"))


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_a_raw_copy_in_the_netflix_layout_has_exactly_the_same_scores(ffmpeg, tmp_path, pix_fmt):
    ref = draw(ffmpeg, tmp_path / "Park.mkv", options=f"-c:v ffv1 -pix_fmt {pix_fmt}", frames=8)
    x265 = "-c:v libx265 -crf 40 -x265-params log-level=none"
    dis = encode(ffmpeg, ref, tmp_path / "Park_1.mkv", x265)
    raw = tmp_path / "raw"
    for path, name in ((ref, "ref/Park_25fps.yuv"), (dis, "dis/Park_1_48_9.yuv")):
        (raw / name).parent.mkdir(parents=True)
        run(ffmpeg, "-i", str(path), "-f", "rawvideo", str(raw / name))

    listed = table_of(write_list(tmp_path, "Park.mkv,Park_1.mkv"))
    netflix = CorpusChoice(corpus=str(raw), assume_dims="64x48", assume_pix_fmt=pix_fmt)
    copied = table_of(netflix)
    assert listed.y_N.tolist() == copied.y_N.tolist()
    assert listed.x_NF.tolist() == copied.x_NF.tolist()
    assert len(set(listed.y_N.tolist())) > 1


@pytest.mark.parametrize("rate", ["10", "24000/1001", "24", "25", "30000/1001", "60", "120"])
def test_the_frame_rate_changes_nothing(ffmpeg, tmp_path, rate):
    ref = draw(ffmpeg, tmp_path / "a.mkv", rate=rate, frames=60)
    encode(ffmpeg, ref, tmp_path / "a1.mkv", "-c:v libx264 -crf 40 -bf 2")
    encode(ffmpeg, ref, tmp_path / "a2.mkv", "-c:v ffv1 -vf trim=start_frame=3,setpts=PTS-STARTPTS")
    choice = write_list(tmp_path, "a.mkv,a1.mkv")
    table = table_of(choice)
    raw = {name: tmp_path / f"{name}.yuv" for name in ("a", "a1")}
    for name, path in raw.items():
        run(ffmpeg, "-i", str(tmp_path / f"{name}.mkv"), "-f", "rawvideo", str(path))
    copied = table_of(write_list(tmp_path, "a.yuv,a1.yuv,64x48", columns="ref,dis,size"))
    assert table.y_N.tolist() == copied.y_N.tolist()
    late, canonical = Video(tmp_path / "a2.mkv"), find_feature_set("canonical")
    x_NF, remarks = ffmpeg.features(Video(ref), late, canonical, 0)
    assert len(x_NF) == 57
    assert [remark(3) in remarks, len(remarks)] == [True, 2]


def test_each_pair_is_scored_at_the_size_of_its_reference(ffmpeg, tmp_path):
    draw(ffmpeg, tmp_path / "a.mkv", size="96x64")
    draw(ffmpeg, tmp_path / "b.mp4", options="-c:v libx264 -crf 1", rate="50")
    encode(ffmpeg, tmp_path / "a.mkv", tmp_path / "a1.mkv", "-c:v libx264 -vf scale=48:32")
    encode(ffmpeg, tmp_path / "b.mp4", tmp_path / "b1.mkv", "-c:v libx264 -crf 40")
    choice = write_list(tmp_path, "a.mkv,a1.mkv,ref", "b.mp4,b1.mkv,", columns="ref,dis,scale")
    table = table_of(choice)
    assert table.clips == ("a1", "b1")

    scaled = tmp_path / "scaled.mkv"
    encode(ffmpeg, tmp_path / "a1.mkv", scaled, "-vf scale=96:64:flags=bicubic -c:v ffv1")
    alone = table_of(write_list(tmp_path, "a.mkv,scaled.mkv"))
    assert table.y_N[table.rows_of(0)].tolist() == alone.y_N.tolist()


def test_frames_of_a_range_are_those_of_a_cut_file(ffmpeg, tmp_path):
    draw(ffmpeg, tmp_path / "a.mkv")
    encode(ffmpeg, tmp_path / "a.mkv", tmp_path / "a1.mp4", "-c:v libx264 -crf 40 -bf 2 -g 5")
    for name in ("a.mkv", "a1.mp4"):
        cut = tmp_path / f"cut_{name}".replace("mp4", "mkv")
        options = "-vf trim=start_frame=3:end_frame=9,setpts=PTS-STARTPTS -c:v ffv1"
        encode(ffmpeg, tmp_path / name, cut, options)
    whole = table_of(write_list(tmp_path, "a.mkv,a1.mp4,3:9", columns="ref,dis,frames"))
    cut = table_of(write_list(tmp_path, "cut_a.mkv,cut_a1.mkv"))
    assert whole.y_N.tolist() == cut.y_N.tolist()


def test_a_damaged_video_fails_by_name_and_the_others_are_cached(ffmpeg, tmp_path):
    draw(ffmpeg, tmp_path / "a.mkv")
    for name in ("good.mkv", "bad.mkv"):
        shutil.copy(tmp_path / "a.mkv", tmp_path / name)
    content = bytearray((tmp_path / "bad.mkv").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 300] = bytes(300)
    (tmp_path / "bad.mkv").write_bytes(content)
    choice = write_list(tmp_path, "a.mkv,good.mkv", "a.mkv,bad.mkv")
    with pytest.raises(ExtractionError, match=r"bad: .*is damaged, ffmpeg says: .*; make the file"):
        prewarm(choice, Reporter())
    assert entries() == ["good.json"]


def test_an_offset_is_warned_of_each_time_and_applied_if_asked_for(ffmpeg, tmp_path):
    draw(ffmpeg, tmp_path / "a.mkv", frames=40, size="96x64")
    late = "-vf trim=start_frame=3,setpts=PTS-STARTPTS -c:v libx264 -crf 30"
    encode(ffmpeg, tmp_path / "a.mkv", tmp_path / "late.mkv", late)
    encode(ffmpeg, tmp_path / "a.mkv", tmp_path / "cut.mkv", f"{late} -frames:v 37")
    choice = write_list(tmp_path, "a.mkv,late.mkv,0:37", columns="ref,dis,frames")
    for _ in range(2):
        said = Lines()
        prewarm(choice, said)
        assert "late: the distorted video seems to start 3 frames later" in "".join(said.said)

    unshifted = table_of(choice)
    with pytest.raises(InputError, match="holds 37 frames but its reference"):
        prewarm(write_list(tmp_path, "a.mkv,late.mkv"), Reporter())
    stated = table_of(write_list(tmp_path, "a.mkv,late.mkv,3", columns="ref,dis,offset"))
    found = write_list(tmp_path, "a.mkv,late.mkv")
    corpus = open_corpus(CorpusChoice(corpus=found.corpus, offset="auto"), Reporter())
    assert corpus.table(()).y_N.tolist() == stated.y_N.tolist()
    assert stated.y_N.min() > unshifted.y_N.mean()
    assert entries() == ["late.0-37.json", "late.0-37.offset3.json"]


def test_a_copied_corpus_keeps_its_cache_where_content_is_verified(ffmpeg, tmp_path):
    (tmp_path / "one").mkdir()
    draw(ffmpeg, tmp_path / "one" / "a.mkv")
    encode(ffmpeg, tmp_path / "one" / "a.mkv", tmp_path / "one" / "a1.mkv", "-c:v libx264")
    write_list(tmp_path / "one", "a.mkv,a1.mkv")

    def extracted(folder, verify):
        choice = CorpusChoice(corpus=str(tmp_path / folder / "pairs.csv"), verify_content=verify)
        return prewarm(choice, Reporter()).extracted

    assert [extracted("one", verify) for verify in (True, True, False)] == [1, 0, 0]
    shutil.copytree(tmp_path / "one", tmp_path / "two", copy_function=shutil.copyfile)
    assert [extracted("two", verify) for verify in (True, False)] == [0, 1]
    # The same size and time, but another content.
    path = tmp_path / "two" / "a1.mkv"
    extracted("two", True)
    times = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert [extracted("two", verify) for verify in (False, True)] == [0, 1]
