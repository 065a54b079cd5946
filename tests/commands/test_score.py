"""Score: a student's scores of one video, warnings, and refused input."""

import csv
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from commandline import call
from conftest import write_corpus

from vmaf_train.clips.layouts import scan
from vmaf_train.clips.video import YuvFormat
from vmaf_train.commands.score import score_video
from vmaf_train.commands.scorer import load_scorer
from vmaf_train.extraction.schedule import Pass
from vmaf_train.features import FEATURE_SETS
from vmaf_train.judging import familiarity
from vmaf_train.onnx_file.expected_error import KEY
from vmaf_train.onnx_file.facts import METADATA_PREFIX

ROOT = Path(__file__).parents[2]


EXACT, LITE = (ROOT / "model" / "tiny" / f"vmaf_tiny_{name}.onnx" for name in ("exact", "lite"))
RAW = ["--size", "160x90"]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    corpus = write_corpus(tmp_path_factory.mktemp("scored") / "c", frames=8, dims=(160, 90))
    return scan(corpus, YuvFormat(160, 90)).pairs


def score(*words):
    return call("score", *words)


def scored(*words):
    """Return the JSON that the command prints."""
    return json.loads(score(*words).stdout)


def encoded(pair, ffmpeg, folder, *, suffix=".mkv", options=("-c:v", "ffv1"), size="160x90"):
    """Write both files of a pair in another form with the same frames; return ref and dis."""
    made = []
    for path in (pair.ref.path, pair.dis.path):
        made.append(folder / f"{path.stem}{suffix}")
        raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "160x90", "-r", "25", "-i", str(path)]
        scaled = ["-vf", f"scale={size.replace('x', ':')}"] if size != "160x90" else []
        subprocess.run([ffmpeg.path, "-v", "error", *raw, *scaled, *options, made[-1]], check=True)
    return made


def test_the_exact_student_scores_within_0_1_of_the_teacher(pairs, ffmpeg):
    for pair in pairs[:2]:
        scored = score_video(load_scorer(str(EXACT)), pair.ref, pair.dis, ffmpeg, threads=1)
        np.testing.assert_allclose(
            scored.score_S, ffmpeg.extract(Pass((pair,)))[0].scores["vmaf_v0.6.1"], atol=0.1
        )
        assert np.ptp(scored.score_S) > 0.2


def test_pooled_scores_are_statistics_of_the_frame_scores(pairs):
    ref, dis = pairs[0].ref.path, pairs[0].dis.path
    printed = scored(ref, dis, *RAW, "--model", LITE, "--per-frame")
    scores_N = np.array(printed["scores"])
    assert (printed["frames"], len(scores_N)) == (8, 8)
    assert printed["mean"] == pytest.approx(scores_N.mean())
    assert printed["min"] == scores_N.min()
    assert printed["percentile_5"] == pytest.approx(np.percentile(scores_N, 5))
    assert printed["harmonic_mean"] == pytest.approx(8 / (1 / (scores_N + 1)).sum() - 1)


def test_csv_holds_one_row_per_video(pairs):
    ref, dis = pairs[0].ref.path, pairs[0].dis.path
    lines = score(ref, dis, *RAW, "--format", "csv").stdout.splitlines()
    (row,) = csv.DictReader(lines)
    assert row == {
        key: "" if value is None else str(value) for key, value in scored(ref, dis, *RAW).items()
    }


def test_csv_holds_one_row_per_frame_with_per_frame(pairs):
    ref, dis = pairs[0].ref.path, pairs[0].dis.path
    lines = score(ref, dis, *RAW, "--format", "csv", "--per-frame").stdout.splitlines()
    rows = list(csv.DictReader(lines))
    assert [int(row["frame"]) for row in rows] == list(range(8))
    expected = scored(ref, dis, *RAW, "--per-frame")["scores"]
    assert [float(row["score"]) for row in rows] == expected


FORMS = {
    "Matroska": {},
    "Y4M": {"suffix": ".y4m", "options": ()},
    "another frame rate and start": {
        "options": ("-c:v", "ffv1", "-vf", "setpts=PTS/2+3/TB", "-fps_mode", "passthrough")
    },
}


@pytest.mark.parametrize("name", FORMS)
def test_a_container_scores_like_its_raw_frames(name, pairs, ffmpeg, tmp_path):
    ref, dis = encoded(pairs[1], ffmpeg, tmp_path, **FORMS[name])
    assert scored(ref, dis) == scored(pairs[1].ref.path, pairs[1].dis.path, *RAW)


def test_10_bit_files_score_like_their_8_bit_originals(pairs, ffmpeg, tmp_path):
    raw = ("-f", "rawvideo", "-pix_fmt", "yuv420p10le")
    ref, dis = encoded(pairs[1], ffmpeg, tmp_path, suffix=".yuv", options=raw)
    assert ref.stat().st_size == 2 * pairs[1].ref.path.stat().st_size
    ten = scored(ref, dis, *RAW, "--pix-fmt", "yuv420p10le")
    eight = scored(pairs[1].ref.path, pairs[1].dis.path, *RAW)
    assert ten["frames"] == 8
    assert ten["mean"] == pytest.approx(eight["mean"], abs=0.5)


def test_videos_of_different_size_are_refused_with_a_working_scale_command(pairs, ffmpeg, tmp_path):
    ref, _ = encoded(pairs[1], ffmpeg, tmp_path)
    (tmp_path / "small").mkdir()
    _, dis = encoded(pairs[1], ffmpeg, tmp_path / "small", size="80x46")
    refused = score(ref, dis)
    assert refused.exit_code == 2
    assert f"{dis} is 80x46, its reference {ref} 160x90; pass scale=ref" in refused.output
    assert score(ref, dis, "--scale", "ref").exit_code == 0
    command = [ffmpeg.path, *refused.output.split("scale it first: ffmpeg ")[1].split()]
    subprocess.run([*command[:1], "-v", "error", *command[1:]], check=True)
    assert score(ref, command[-1]).exit_code == 0


LENGTHS = {"the reference": (8, 5), "the distorted video": (5, 8)}


def first_frames(path, n, ffmpeg, out):
    """Write the first frames of a raw file to another file."""
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "160x90", "-r", "25", "-i", str(path)]
    codec = ["-f", "rawvideo"] if out.suffix == ".yuv" else ["-c:v", "ffv1"]
    command = [ffmpeg.path, "-v", "error", *raw, "-frames:v", str(n), *codec, out]
    subprocess.run(command, check=True)
    return out


@pytest.mark.parametrize("longer", LENGTHS)
@pytest.mark.parametrize("suffix", [".yuv", ".mkv"])
def test_videos_of_different_length_are_scored_up_to_the_shorter_with_a_warning(
    longer, suffix, pairs, ffmpeg, tmp_path
):
    files = (pairs[1].ref.path, pairs[1].dis.path)
    paths = [
        first_frames(path, frames, ffmpeg, tmp_path / f"{path.stem}{suffix}")
        for path, frames in zip(files, LENGTHS[longer], strict=True)
    ]
    done = score(*paths, *RAW, "--per-frame")
    assert f"warning: {longer} is longer than the 5 frames that both have" in done.stderr
    scores = json.loads(done.stdout)["scores"]
    # Motion of the last frame differs: it has no next frame.
    assert (len(scores), scores[:4]) == (5, scored(*files, *RAW, "--per-frame")["scores"][:4])


def test_frames_that_cannot_be_decoded_give_a_warning(pairs, ffmpeg, tmp_path):
    ref, dis = encoded(pairs[1], ffmpeg, tmp_path, options=("-c:v", "ffv1"))
    assert score(ref, dis).stderr == ""
    content = bytearray(dis.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    dis.write_bytes(content)
    warning = (
        r"warning: ffmpeg found damage \(slice CRC mismatch .*\); pictures after it may be wrong"
    )
    assert re.search(warning, score(ref, dis).stderr)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv422p12le"])
def test_raw_files_with_a_partial_frame_are_refused(pix_fmt, pairs):
    size = "160x100"
    refused = score(pairs[0].ref.path, pairs[0].dis.path, "--size", size, "--pix-fmt", pix_fmt)
    assert refused.exit_code == 2
    assert f"not a whole number of {size} {pix_fmt} frames" in refused.output
    assert "pass the true size with --size and --pix-fmt" in refused.output


UNUSABLE = [
    (["ref", "dis"], "is raw and does not state its size; pass --size WxH"),
    (["ref", "dis", "--size", "160by90"], "like 1920x1080"),
    (["ref", "dis", *RAW, "--pix-fmt", "nv12"], "'nv12' of"),
    (["ref", "none.mkv", *RAW], "no file"),
    (["ref", "--manifest", "ref"], "needs a reference and a distorted video, or --manifest"),
    (["ref"], "needs a reference and a distorted video, or --manifest"),
    (["ref", "dis", *RAW, "--model", "vmaf_huge"], "no model vmaf_huge"),
    (["ref", "dis", *RAW, "--model", "none.onnx"], "no file"),
    (
        ["ref", "dis", *RAW, "--model", "models:/vmaf_tiny/7"],
        "check the id and MLFLOW_TRACKING_URI",
    ),
]


@pytest.mark.parametrize(("words", "message"), UNUSABLE)
def test_unusable_input_exits_2_with_the_next_step(words, message, pairs, store):
    paths = {"ref": pairs[0].ref.path, "dis": pairs[0].dis.path}
    refused = score(*(paths.get(word, word) for word in words))
    assert (refused.exit_code, message in refused.output) == (2, True), refused.output
    assert "Traceback" not in refused.output


def test_a_file_that_is_not_a_video_is_refused_with_ffmpegs_message(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    failed = score(tmp_path / "text.mp4", tmp_path / "text.mp4")
    assert (failed.exit_code, "Invalid data" in failed.output) == (2, True), failed.output


@pytest.fixture(scope="module")
def known(pairs, ffmpeg):
    """The features of one pair, which a student is taken to have learnt."""
    x_NF, _ = ffmpeg.features(pairs[0].ref, pairs[0].dis, FEATURE_SETS["canonical"], 0)
    return x_NF


def stating(known, limit, path):
    """Write a copy of a student that states its error, and knows the frames of one pair."""
    guard = familiarity.facts_of(replace(familiarity.learn(known), limit=limit))
    widths = [{"frames": 1, "half_width": 3.0}, {"frames": 8, "half_width": 1.5}]
    interval = {"confidence": 0.9, "sources": 9, "half_widths": widths}
    return with_error({"interval": interval, "familiar": guard.model_dump()}, path)


def with_error(stated, path):
    """Write a copy of a student whose metadata states this error; None states none."""
    model = onnx.load(EXACT)
    facts = {prop.key: prop.value for prop in model.metadata_props}
    facts.pop(METADATA_PREFIX + KEY, None)
    if stated is not None:
        facts[METADATA_PREFIX + KEY] = json.dumps(stated)
    onnx.helper.set_model_props(model, facts)
    path.write_bytes(model.SerializeToString())
    return path


def test_the_interval_is_the_one_that_the_file_states_for_the_number_of_frames(
    pairs, known, tmp_path
):
    model = stating(known, 1.0, tmp_path / "it.onnx")
    words = [pairs[0].ref.path, pairs[0].dis.path, *RAW, "--model", model]
    printed = scored(*words)
    assert (printed["low"], printed["high"]) == pytest.approx(
        (printed["mean"] - 1.5, printed["mean"] + 1.5)
    )
    assert (printed["confidence"], printed["outside"]) == (0.9, 0)
    assert score(*words).stderr == ""


def test_frames_outside_are_counted_with_a_warning_and_a_wider_interval(pairs, known, tmp_path):
    model = stating(known, 0.001, tmp_path / "it.onnx")
    done = score(pairs[1].ref.path, pairs[1].dis.path, *RAW, "--model", model)
    printed = json.loads(done.stdout)
    assert printed["outside"] == 8
    assert "warning: 8 of 8 scored frames lie outside what the student learnt" in done.stderr
    assert printed["high"] - printed["low"] > 3


def test_a_student_that_states_no_error_has_no_interval(pairs, tmp_path):
    model = with_error(None, tmp_path / "it.onnx")
    printed = scored(pairs[0].ref.path, pairs[0].dis.path, *RAW, "--model", model)
    assert {printed[key] for key in ("low", "high", "confidence", "outside")} == {None}


def test_malformed_metadata_exits_2_and_names_the_file(pairs, tmp_path):
    model = with_error({"interval": 1}, tmp_path / "bad.onnx")
    refused = score(pairs[0].ref.path, pairs[0].dis.path, *RAW, "--model", model)
    assert refused.exit_code == 2
    assert f"{model} has metadata of vmaf-train that breaks its contract" in refused.output


def test_score_imports_neither_torch_nor_mlflow(pairs):
    words = ["score", *map(str, (pairs[0].ref.path, pairs[0].dis.path)), *RAW, "--model", str(LITE)]
    code = f"""
import sys
from vmaf_train.cli import app
app({words!r}, standalone_mode=False)
heavy = {{"torch", "mlflow", "scipy", "onnx", "pyarrow", "matplotlib", "filelock"}}
print(sorted(heavy & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
