"""Score some frames: the estimate of the mean, its interval, the frames, and refused input."""

import csv
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from commandline import call

from vmaf_train.clips.video import Video
from vmaf_train.extraction.libvmaf import Ffmpeg
from vmaf_train.extraction.logs import parse_features
from vmaf_train.extraction.sampling import THIN, THIN_SIGNALS
from vmaf_train.extraction.strata import Strata

TINY = Path(__file__).parents[2] / "model" / "tiny"
FRAMES = 120
# A scene cut in the middle, and a codec with a rhythm.
SCENES = (
    "testsrc2=size=192x108:rate=25:duration=2.4[a];mandelbrot=size=192x108:rate=25,"
    "trim=end_frame=60,setpts=N/25/TB[b];[a][b]concat=n=2,format=yuv420p"
)


@pytest.fixture(scope="module")
def videos(ffmpeg, tmp_path_factory):
    """A reference of 120 frames and an encode of it."""
    folder = tmp_path_factory.mktemp("sampled")
    ref, dis = folder / "ref.mkv", folder / "dis.mkv"
    quiet = [ffmpeg.path, "-nostdin", "-v", "error"]
    drawn = ["-f", "lavfi", "-i", SCENES, "-frames:v", str(FRAMES), "-c:v", "ffv1"]
    subprocess.run([*quiet, *drawn, ref], check=True)
    subprocess.run([*quiet, "-i", ref, "-c:v", "mpeg2video", "-b:v", "200k", dis], check=True)
    return ref, dis


def score(*words):
    return call("score", *words)


def scored(*words):
    return json.loads(score(*words).stdout)


@pytest.mark.parametrize("name", ["exact", "lite"])
def test_sampled_frames_have_the_scores_that_they_have_among_all(name, videos):
    model = ("--model", TINY / f"vmaf_tiny_{name}.onnx", "--per-frame")
    some = scored(*videos, *model, "--every", 5, "--seed", 3)
    every_frame = np.array(scored(*videos, *model)["scores"])
    assert some["scored_frames"] == Strata((5,), seed=3).chosen(FRAMES).tolist()
    np.testing.assert_allclose(some["scores"], every_frame[some["scored_frames"]], atol=1e-4)


def test_a_sample_states_its_seed_and_names_its_statistics_as_those_of_a_sample(videos):
    some = scored(*videos, "--every", 5, "--seed", 3, "--per-frame")
    scores = np.array(some["scores"])
    assert (some["frames"], some["scored"], some["seed"]) == (FRAMES, len(scores), 3)
    assert some["sample_min"] == scores.min()
    assert some["sample_percentile_5"] == pytest.approx(np.percentile(scores, 5))
    assert "min" not in some and "harmonic_mean" not in some
    assert some == scored(*videos, "--every", 5, "--seed", 3, "--per-frame")
    other = scored(*videos, "--every", 5, "--seed", 4, "--per-frame")
    assert other["scored_frames"] != some["scored_frames"]


def test_the_interval_of_a_sample_holds_the_mean_of_all_frames(videos):
    mean = scored(*videos)["mean"]
    held = []
    for seed in range(8):
        some = scored(*videos, "--every", 4, "--seed", seed)
        held.append(some["low"] <= mean <= some["high"])
        assert abs(some["mean"] - mean) < 3
    assert sum(held) >= 7


def test_within_adds_frames_until_the_interval_is_as_narrow_as_asked(videos):
    mean = scored(*videos)["mean"]
    counts = []
    for within in (4, 1, 0.2):
        some = scored(*videos, "--within", within)
        assert some["high"] - some["low"] <= 2 * within
        assert abs(some["mean"] - mean) <= 2 * within
        counts.append(some["scored"])
    assert counts == sorted(counts) and counts[0] < counts[-1]


def test_a_narrower_interval_than_the_model_allows_scores_all_frames_and_says_so(videos):
    done = score(*videos, "--within", 0.01, "--model", "vmaf_tiny_lite")
    assert json.loads(done.stdout)["scored"] == FRAMES
    assert "no number of frames gives within 0.01" in done.stderr
    assert "vmaf_tiny_exact" in done.stderr


def test_a_width_that_the_model_never_reaches_takes_one_pass(videos, monkeypatch):
    passes = []
    branches = Ffmpeg.branches

    def counted(self, *arguments):
        passes.append(arguments)
        return branches(self, *arguments)

    monkeypatch.setattr(Ffmpeg, "branches", counted)
    score(*videos, "--within", 0.01, "--model", "vmaf_tiny_lite")
    assert len(passes) == 1


def test_csv_per_frame_names_the_sampled_frames(videos):
    lines = score(*videos, "--every", 7, "--format", "csv", "--per-frame").stdout.splitlines()
    frames = [int(row["frame"]) for row in csv.DictReader(lines)]
    assert frames == Strata((7,)).chosen(FRAMES).tolist()


def test_a_manifest_of_samples_is_resumed_only_with_the_same_sampling(videos, tmp_path):
    manifest, out = tmp_path / "pairs.csv", tmp_path / "scores.csv"
    manifest.write_text(f"ref,dis\n{videos[0]},{videos[1]}\n")
    words = ("--manifest", manifest, "--out", out)
    assert score(*words, "--every", 6).exit_code == 0
    alone = scored(*videos, "--every", 6)
    with out.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert {key: float(row[key]) for key in alone} == alone
    before = out.read_bytes()
    assert score(*words, "--every", 6).exit_code == 0
    assert out.read_bytes() == before
    assert score(*words, "--every", 5).exit_code == 0
    assert len(out.read_bytes().splitlines()) == 3
    done = score(*words)
    assert (done.exit_code, "other columns" in done.stderr) == (2, True)


REFUSED = {
    "every 0": (["--every", 0], "every 0 is below 1"),
    "more than the frames": (["--every", 121], "has 120 frame(s), which every 121 may leave out"),
    "within 0": (["--within", 0], "within 0 is no half-width"),
    "within below 0": (["--within", -1], "within -1 is no half-width"),
    "within nan": (["--within", "nan"], "within nan is no half-width"),
    "both": (["--every", 5, "--within", 1], "pass one of them"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_useless_choice_of_frames_is_refused(name, videos):
    words, reason = REFUSED[name]
    done = score(*videos, *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert reason in done.stderr


def made(ffmpeg, path, graph, frames):
    command = [ffmpeg.path, "-nostdin", "-v", "error", "-f", "lavfi", "-i", graph]
    subprocess.run([*command, "-frames:v", str(frames), "-c:v", "ffv1", path], check=True)
    return path


def test_a_video_of_one_frame_is_scored_within_any_width(ffmpeg, tmp_path):
    one = made(ffmpeg, tmp_path / "one.mkv", "testsrc2=size=192x108:rate=25", 1)
    some = scored(one, one, "--within", 0.5)
    assert (some["frames"], some["scored"]) == (1, 1)
    assert some["mean"] == scored(one, one)["mean"]


def test_a_constant_video_takes_few_frames_and_has_a_finite_interval(ffmpeg, tmp_path):
    ref = made(ffmpeg, tmp_path / "a.mkv", "color=gray:size=192x108:rate=25", 60)
    dis = made(ffmpeg, tmp_path / "b.mkv", "color=0x707070:size=192x108:rate=25", 60)
    some = scored(ref, dis, "--within", 0.1)
    assert some["scored"] < 60
    assert some["mean"] == pytest.approx(scored(ref, dis)["mean"], abs=0.01)
    assert some["high"] - some["low"] <= 0.2


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv444p", "gbrp"])
def test_pictures_of_any_format_give_signals(pix_fmt, ffmpeg, tmp_path):
    graph = f"testsrc2=size=192x108:rate=25,format={pix_fmt}"
    ref = made(ffmpeg, tmp_path / "ref.mkv", graph, 8)
    dis = made(ffmpeg, tmp_path / "dis.mkv", f"{graph},gblur=sigma=1,format={pix_fmt}", 8)
    (log,), _ = ffmpeg.branches(Video(ref), Video(dis), [THIN], threads=0)
    signals = parse_features(log, "dis", THIN_SIGNALS)
    assert signals.shape == (8, 1)
    assert (signals > 0).all()
