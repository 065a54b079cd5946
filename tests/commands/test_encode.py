"""`encode`: a corpus from reference videos, resumed after any end, scored as it is."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from commandline import call
from video_making import draw, encode, run

from vmaf_train.clips.looking import look
from vmaf_train.commands.encode import Ladder
from vmaf_train.commands.encode import encode as encode_corpus
from vmaf_train.commands.prewarm import prewarm
from vmaf_train.errors import InputError
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.reporting import Reporter

LADDER = "0.5@crf40,1@crf40"


def pairs_in(folder):
    with (folder / "pairs.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def videos(ffmpeg, tmp_path_factory):
    """Return a folder of three sources of different container, size, rate and depth."""
    folder = tmp_path_factory.mktemp("sources")
    draw(ffmpeg, folder / "Park.mp4", options="-c:v libx264 -crf 5 -pix_fmt yuv420p")
    x265 = "-c:v libx265 -crf 5 -pix_fmt yuv420p10le -x265-params log-level=none"
    draw(ffmpeg, folder / "Sea side.mkv", options=x265, size="192x128", rate="50")
    draw(ffmpeg, folder / "Town.y4m", options="-pix_fmt yuv422p", size="80x60", rate="30000/1001")
    (folder / "notes.txt").write_text("not a video")
    return folder


def test_sources_of_any_kind_become_pairs_that_are_scored_as_they_are(ffmpeg, videos, tmp_path):
    done = call("encode", videos, tmp_path, "--ladder", LADDER, "--encoders", "libx264,libx265")
    assert (done.exit_code, "12 pairs, 12 files made now" in done.output) == (0, True), done.output
    rows = pairs_in(tmp_path)
    assert {row["source"] for row in rows} == {"Park", "Sea_side", "Town"}
    town = tmp_path / "dis" / "Town_libx264_30p_crf40.mkv"
    assert look(town, ffmpeg.path).pix_fmt == "yuv422p"
    assert {row["ref"] for row in rows if row["source"] == "Park"} == {str(videos / "Park.mp4")}

    corpus = CorpusChoice(corpus=str(tmp_path / "pairs.csv"))
    scored = prewarm(corpus, Reporter(), features="lite")
    assert (scored.extracted, scored.scan.left_out) == (12, ())
    again = call("encode", videos, tmp_path, "--ladder", LADDER, "--encoders", "libx264,libx265")
    assert "12 pairs, 0 files made now" in again.output
    assert prewarm(corpus, Reporter()).extracted == 0


def test_another_rung_or_a_changed_source_makes_only_what_is_missing(ffmpeg, tmp_path):
    source = draw(ffmpeg, tmp_path / "a.mkv")
    out = tmp_path / "out"

    def made(rungs):
        return encode_corpus([source], out, Ladder(rungs=rungs), Reporter()).made

    assert [made(LADDER), made(f"{LADDER},1@9k"), made(LADDER)] == [2, 1, 0]
    assert len(pairs_in(out)) == 2
    draw(ffmpeg, source, frames=10)
    assert made(LADDER) == 2
    (out / "dis" / "a_libx264_48p_crf40.mkv").unlink()
    # As after a kill: a torn line, and a file that is not whole.
    with (out / "encoded.jsonl").open("a") as file:
        file.write('\n{"name": "dis/a_lib')
    (out / "dis" / ".vmaf-train-0.part").write_bytes(b"half")
    assert made(LADDER) == 1
    assert len(list((out / "dis").iterdir())) == 3


def test_clips_start_at_scenes_and_their_references_are_cut_without_loss(ffmpeg, tmp_path):
    scenes = [
        draw(ffmpeg, tmp_path / "s0.mkv", frames=20),
        draw(ffmpeg, tmp_path / "s1.mkv", frames=8),
        encode(ffmpeg, tmp_path / "s0.mkv", tmp_path / "s2.mkv", "-vf negate -c:v ffv1"),
    ]
    encode(
        ffmpeg,
        tmp_path / "s1.mkv",
        tmp_path / "s1b.mkv",
        "-vf gblur=9,eq=brightness=-0.6 -c:v ffv1",
    )
    (tmp_path / "list.txt").write_text(
        "".join(f"file {p}\n" for p in (scenes[0], tmp_path / "s1b.mkv", scenes[2]))
    )
    film = tmp_path / "Film.mkv"
    run(
        ffmpeg,
        "-f",
        "concat",
        "-safe",
        "0",
        "-i",
        str(tmp_path / "list.txt"),
        "-c",
        "copy",
        str(film),
    )
    ladder = Ladder(rungs="1@crf40", seconds=12 / 25)
    encode_corpus([film], tmp_path / "out", ladder, Reporter())
    rows = pairs_in(tmp_path / "out")
    assert [row["ref"] for row in rows] == ["ref/Film_000000.mkv", "ref/Film_000028.mkv"]
    assert {row["source"] for row in rows} == {"Film"}

    def raw(path, *options):
        command = [ffmpeg.path, "-v", "error", "-i", path, *options, "-f", "rawvideo", "-"]
        return subprocess.run(command, capture_output=True, check=True).stdout

    cut = raw(tmp_path / "out" / "ref" / "Film_000028.mkv")
    assert cut == raw(scenes[2], "-frames:v", "12")
    few = Ladder(rungs="1@crf40", seconds=12 / 25, clips=1)
    assert encode_corpus([film], tmp_path / "few", few, Reporter()).complete == 1


def test_a_source_that_cannot_be_used_is_left_out_and_the_command_exits_1(ffmpeg, tmp_path):
    good = draw(ffmpeg, tmp_path / "good.mkv")
    encode(ffmpeg, good, tmp_path / "bad.mkv", "-c:v libx264 -vf setfield=tff -flags +ildct+ilme")
    draw(ffmpeg, tmp_path / "deep.mkv", options="-c:v ffv1 -pix_fmt yuv422p12le")
    done = call("encode", good, tmp_path / "bad.mkv", tmp_path / "deep.mkv", tmp_path / "out")
    assert done.exit_code == 1
    assert "bad.mkv is interlaced; repair it: ffmpeg -i" in done.output
    assert "deep: libx264 does not take yuv422p12le" in done.output
    assert {row["source"] for row in pairs_in(tmp_path / "out")} == {"good"}
    none = call("encode", tmp_path / "bad.mkv", tmp_path / "none")
    assert (none.exit_code, "nothing could be encoded" in none.output) == (2, True)
    with pytest.raises(InputError, match=r"are both the source good; rename one"):
        draw(ffmpeg, tmp_path / "sub.mkv").rename(tmp_path / "good.mov")
        encode_corpus([good, tmp_path / "good.mov"], tmp_path / "x", Ladder(), Reporter())


def test_a_kill_loses_only_the_encodes_that_run(ffmpeg, tmp_path):
    source = draw(ffmpeg, tmp_path / "a.mkv", size="320x180", frames=60)
    rungs = ",".join(f"1@crf{crf}" for crf in range(20, 44))
    command = [sys.executable, "-m", "vmaf_train", "encode", str(source), str(tmp_path / "out")]
    process = subprocess.Popen(
        [*command, "--ladder", rungs, "--jobs", "1"], stderr=subprocess.DEVNULL
    )
    record = tmp_path / "out" / "encoded.jsonl"
    while not record.is_file() or len(record.read_text().splitlines()) < 4:
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = [json.loads(line) for line in record.read_text().splitlines() if line]
    done = encode_corpus([source], tmp_path / "out", Ladder(rungs=rungs), Reporter())
    assert (done.complete, done.made) == (24, 24 - len(kept))
    assert 3 <= len(kept) < 24


@pytest.mark.slow
def test_encodes_run_on_a_cluster(ffmpeg, videos, tmp_path):
    pytest.importorskip("distributed")
    ladder = Ladder(rungs="1@crf40")
    done = encode_corpus([videos], tmp_path, ladder, Reporter(), scheduler="local:2")
    assert (done.complete, done.made, done.failed) == (3, 3, ())
