"""Scores from a libvmaf log: those of the files, without a video."""

import csv
import json

import pytest
from commandline import call
from conftest import write_corpus
from log_writing import FORMS, write_log

from vmaf_train.clips.layouts import scan
from vmaf_train.clips.video import YuvFormat
from vmaf_train.features import FEATURE_SETS
from vmaf_train.frames.splits import split
from vmaf_train.students.architectures import build
from vmaf_train.students.export import to_onnx
from vmaf_train.students.settings import Settings
from vmaf_train.students.training import fit


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    corpus = write_corpus(tmp_path_factory.mktemp("log") / "c", sources=("Alpha",), rungs=1)
    return scan(corpus, YuvFormat(64, 64)).pairs[0]


@pytest.fixture(scope="module")
def logs(pair, ffmpeg, tmp_path_factory):
    """Return the path of the pair's log in each form."""
    folder = tmp_path_factory.mktemp("logs")
    return {form: write_log(ffmpeg, pair, folder / f"log.{form}") for form in FORMS}


def printed(*words):
    return json.loads(call("score", "--per-frame", *words).stdout)


@pytest.mark.parametrize("model", ["vmaf_tiny_exact", "vmaf_tiny_lite"])
def test_a_log_in_any_form_scores_exactly_like_the_files(model, pair, logs, monkeypatch):
    expected = printed(pair.ref.path, pair.dis.path, "--size", "64x64", "--model", model)
    monkeypatch.setenv("VMAF_FFMPEG", "no-such-ffmpeg")
    for path in logs.values():
        assert printed("--log", path, "--model", model) == expected


def test_a_log_of_every_nth_frame_gives_a_warning_and_keeps_frame_numbers(
    pair, logs, ffmpeg, tmp_path
):
    some = write_log(ffmpeg, pair, tmp_path / "some.json", "n_subsample=3")
    done = call("score", "--log", some, "--per-frame", "--format", "csv")
    assert "warning: the log holds only 2 frames, one in 3; the mean" in done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    whole = printed("--log", logs["xml"])["scores"]
    assert [(int(row["frame"]), float(row["score"])) for row in rows] == [
        (0, whole[0]),
        (3, whole[3]),
    ]


def test_a_student_of_frames_in_a_row_refuses_a_log_of_every_nth(
    pair, logs, ffmpeg, make_table, tmp_path
):
    some = write_log(ffmpeg, pair, tmp_path / "some.json", "n_subsample=3")
    student = tmp_path / "cnn.onnx"
    quick = Settings(epochs=1, teacher_points=0)
    fitted = fit("cnn1d", *split(make_table(), "Gamma"), quick).student
    student.write_bytes(to_onnx(fitted, {}))
    refused = call("score", "--log", some, "--model", student)
    assert refused.exit_code == 2
    assert "holds only one frame in 3, and" in refused.output
    assert "write the log without n_subsample" in refused.output
    assert call("score", "--log", logs["json"], "--model", student).exit_code == 0


@pytest.fixture
def fast_student(tmp_path):
    """A student of the set `fast`, as its random weights are."""
    path = tmp_path / "fast.onnx"
    path.write_bytes(to_onnx(build("mlp_small", FEATURE_SETS["fast"].features, seed=0), {}))
    return path


def test_missing_features_are_named_with_the_option_that_logs_them(
    pair, ffmpeg, fast_student, tmp_path
):
    options = f"model='':feature='{FEATURE_SETS['fast'].extraction}'"
    log = write_log(ffmpeg, pair, tmp_path / "fast.json", options)
    refused = call("score", "--log", log)
    assert refused.exit_code == 2
    assert "holds no vif_scale0, vif_scale1, vif_scale2, vif_scale3; log these" in refused.output
    assert "libvmaf=feature='name=vif|name=adm|name=motion' in ffmpeg" in refused.output
    assert call("score", "--log", log, "--model", fast_student).stderr == ""


def test_aim_that_the_pass_skipped_gives_a_warning_to_a_student_that_reads_it(
    pair, ffmpeg, fast_student, tmp_path
):
    options = f"model='':feature='{FEATURE_SETS['lite'].extraction}'"
    log = write_log(ffmpeg, pair, tmp_path / "lite.json", options)
    assert call("score", "--log", log, "--model", "vmaf_tiny_lite").stderr == ""
    warned = call("score", "--log", log, "--model", fast_student).stderr
    assert "warning: aim is 0 in every frame of the log; if it was written with adm_skip" in warned


@pytest.mark.parametrize(
    "words", [["ref"], ["ref", "dis"], ["--manifest", "m.csv"], ["--every", "5"], ["--within", "1"]]
)
def test_a_log_is_scored_without_videos_and_manifest(words, logs):
    refused = call("score", *words, "--log", logs["json"])
    assert (
        refused.exit_code,
        "--log scores the frames of a log, without videos" in refused.output,
    ) == (2, True)


@pytest.mark.parametrize(("name", "message"), [("none.json", "no file"), (".", "cannot be read")])
def test_a_log_that_cannot_be_read_exits_2(name, message):
    refused = call("score", "--log", name)
    assert (refused.exit_code, message in refused.output) == (2, True), refused.output
    assert "Traceback" not in refused.output
