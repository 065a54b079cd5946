"""Commands as a user types them: output, exit codes, and no files after bad input."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest
from commandline import DIMS, call, files_below
from conftest import write_corpus
from mlflow_runs import only_run

from vmaf_train.extraction import cache
from vmaf_train.judging.report import EvalReport


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus")


def missing_folder(corpus):
    return ["--corpus", corpus / "nowhere"]


def no_pair(corpus):
    for path in (corpus / "dis").iterdir():
        path.unlink()
    return []


def only_orphans(corpus):
    for path in (corpus / "ref").iterdir():
        path.unlink()
    return []


def an_orphan_under_strict(corpus):
    (corpus / "ref" / "Beta_25fps.yuv").unlink()
    return ["--strict", "yes"]


def a_name_outside_the_grammar_under_strict(corpus):
    (corpus / "dis" / "holiday.yuv").write_bytes(b"")
    return ["--strict", "yes"]


def half_a_frame(corpus):
    with next((corpus / "dis").glob("Alpha*")).open("ab") as file:
        file.write(b"x")
    return []


def another_length(corpus):
    path = next((corpus / "dis").glob("Alpha*"))
    path.write_bytes(path.read_bytes()[: 64 * 64 * 3 // 2])
    return []


def dims_that_are_none(corpus):
    return ["--assume-dims", "64by64"]


def frames_that_are_no_range(corpus):
    return ["--frames", "5"]


def frames_that_are_not_there(corpus):
    return ["--frames", "0:7"]


BAD_CORPORA = [
    (missing_folder, r"no corpus folder .*nowhere.*corpus=demo"),
    (no_pair, r"no pair found in .*names must read"),
    (only_orphans, r"no pair found in .*no reference ref/Alpha_<fps>fps\.yuv"),
    (an_orphan_under_strict, r"strict is on: dis/Beta_.*no reference.*without strict"),
    (a_name_outside_the_grammar_under_strict, r"strict is on: dis/holiday\.yuv.*without strict"),
    (half_a_frame, r"dis/Alpha_.*\.yuv: \d+ bytes is not a whole number of 64x64.*assume_dims=WxH"),
    (another_length, r"dis/Alpha_.*holds 1 frames but its reference .*ref/Alpha_.*holds 6"),
    (dims_that_are_none, r"64by64.*like 1920x1080"),
    (frames_that_are_no_range, r"frames '5' is no range FIRST:END"),
    (frames_that_are_not_there, r"dis/Alpha_.*holds 6 frames, so frames 0:7 are not all there"),
]


@pytest.mark.parametrize("command", ["prewarm", "train", "export-features out.parquet"])
@pytest.mark.parametrize(
    ("spoil", "message"), BAD_CORPORA, ids=[row[0].__name__ for row in BAD_CORPORA]
)
def test_a_bad_corpus_gives_one_error_line_exit_2_and_no_files(
    command, spoil, message, corpus, cold_store, tmp_path
):
    options = spoil(corpus)
    result = call(*command.split(), "--corpus", corpus, *DIMS, *options)
    assert result.exit_code == 2, result.output
    errors = [line for line in result.output.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert re.search(message, errors[0]), errors[0]
    assert "Traceback" not in result.output
    assert files_below(cache.cache_root(), cold_store) == []


def test_a_bad_range_of_frames_is_refused_before_the_demo_is_made(tmp_path):
    result = call("prewarm", "--frames", "5")
    assert (result.exit_code, "frames '5' is no range" in result.output) == (2, True)
    assert not cache.cache_root().exists()


BAD_VALUES = [
    (["--seed", str(2**64)], r"Invalid value for '--seed'"),
    (["--lr", "-1"], r"Invalid value for '--lr'"),
    (
        ["--arch", "mlp_huge"],
        r"unknown arch 'mlp_huge'; choose one of: linear, quadratic, .*, mlp_small, mlp_medium, ",
    ),
    (
        ["--val-source", "Gamma"],
        r"val_source Gamma is not in the corpus; choose one of: Alpha, Beta",
    ),
]


@pytest.mark.parametrize(("options", "message"), BAD_VALUES)
def test_a_bad_value_gives_the_choices_and_no_files(options, message, corpus, cold_store):
    result = call("train", "--corpus", corpus, *DIMS, *options)
    assert (result.exit_code, bool(re.search(message, result.output))) == (2, True), result.output
    assert files_below(cache.cache_root(), cold_store) == []


def test_an_unknown_trainer_is_bad_input_with_the_known_ones(corpus, cold_store):
    result = call("train", "--corpus", corpus, *DIMS, "--trainer", "foo")
    assert result.exit_code == 2
    assert "error: unknown trainer 'foo'; choose one of: plain, lightning\n" in result.output
    assert files_below(cache.cache_root(), cold_store) == []


def test_lightning_with_an_arch_that_takes_no_steps_is_bad_input(corpus, store):
    result = call("train", "--corpus", corpus, *DIMS, "--arch", "linear", "--trainer", "lightning")
    assert result.exit_code == 2
    assert re.search(r"^error: .*lightning.* linear .*trainer=plain$", result.output, flags=re.M), (
        result.output
    )
    assert "Traceback" not in result.output


@pytest.mark.parametrize("missing", ["vmaf_train.students.lightning", "lightning"])
def test_lightning_without_its_extra_is_bad_input_with_the_install_command(
    missing, corpus, cold_store, monkeypatch
):
    for name in [name for name in sys.modules if name.partition(".")[0] == "lightning"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "vmaf_train.students.lightning", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    result = call("train", "--corpus", corpus, *DIMS, "--trainer", "lightning")
    assert result.exit_code == 2
    assert (
        "trainer lightning needs an extra; run: pip install 'vmaf-train[lightning]'"
        in result.output
    )
    assert files_below(cache.cache_root(), cold_store) == []


@pytest.mark.parametrize("points", [0, 128])
def test_train_prints_and_logs_errors_in_the_box_and_without_points(points, corpus, store):
    result = call("train", "--corpus", corpus, *DIMS, "--epochs", 1, "--teacher-points", points)
    assert result.exit_code == 0, result.output
    assert ("without teacher's points" in result.output) == bool(points)
    assert re.search(r"box of possible features: RMSE .* \(5000 random vectors", result.output)

    logged = only_run().data.metrics
    uri = f"runs:/{only_run().info.run_id}/eval_report.json"
    report = EvalReport.model_validate_json(mlflow.artifacts.load_text(uri))
    assert logged["box/max_abs_error"] == pytest.approx(report.box.max_abs_error)
    assert logged["box/rmse"] == pytest.approx(report.box.rmse)
    without = report.without_teacher_points
    assert (without is not None) == ("val_without_points/rmse" in logged) == bool(points)
    if points:
        assert logged["val_without_points/rmse"] == pytest.approx(without.rmse)


def test_a_corpus_of_one_source_is_bad_input_for_train(tmp_path, cold_store):
    corpus = write_corpus(tmp_path / "corpus", sources=("Alpha",))
    result = call("train", "--corpus", corpus, *DIMS)
    assert result.exit_code == 2
    assert "Alpha is the only source" in result.output
    assert files_below(cache.cache_root(), cold_store) == []


@pytest.mark.parametrize("model", ["nowhere.onnx", "f" * 32, "models:/vmaf_tiny/7", "what"])
def test_a_missing_model_is_bad_input(model, corpus, store):
    result = call("evaluate", "--model", model, "--corpus", corpus, *DIMS)
    assert result.exit_code == 2, result.output
    assert model in result.output


def test_a_missing_ffmpeg_is_bad_input_with_the_next_step(corpus, cold_store, monkeypatch):
    monkeypatch.setenv("VMAF_FFMPEG", "no-such-ffmpeg")
    result = call("train", "--corpus", corpus, *DIMS)
    assert result.exit_code == 2
    assert "no ffmpeg at no-such-ffmpeg; set VMAF_FFMPEG" in result.output
    assert files_below(cache.cache_root(), cold_store) == []


def test_an_ffmpeg_without_libvmaf_is_bad_input_with_its_message(
    corpus, cold_store, monkeypatch, tmp_path
):
    script = tmp_path / "ffmpeg"
    script.write_text("#!/bin/sh\necho \"No such filter: 'libvmaf'\" >&2\nexit 8\n")
    script.chmod(0o755)
    monkeypatch.setenv("VMAF_FFMPEG", str(script))
    result = call("prewarm", "--corpus", corpus, *DIMS)
    assert result.exit_code == 2
    assert "cannot score with libvmaf" in result.output
    assert "No such filter" in result.output
    assert files_below(cache.cache_root(), cold_store) == []


def test_an_unwritable_cache_is_bad_input(corpus, cold_store, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("VMAF_TINY_AI_CACHE", str(tmp_path / "file" / "cache"))
    result = call("train", "--corpus", corpus, *DIMS)
    assert result.exit_code == 2
    assert "cannot write the cache" in result.output
    assert "set VMAF_TINY_AI_CACHE" in result.output
    assert files_below(cold_store) == []


def test_train_reads_the_file_that_export_features_names(corpus, store):
    result = call("export-features", "out.parquet", "--corpus", corpus, *DIMS)
    assert (result.exit_code, Path("out.parquet").is_file()) == (0, True), result.output
    assert "24 frames of 4 clips" in result.output
    assert result.output.endswith("train from it: vmaf-train train --corpus out.parquet\n")
    result = call("train", "--corpus", "out.parquet", "--epochs", "1")
    assert result.exit_code == 0, result.output


def test_an_interrupt_marks_the_run_as_killed_and_keeps_whole_cache_files(tmp_path, store):
    corpus = write_corpus(tmp_path / "corpus", rungs=12, frames=60)
    command = [sys.executable, "-m", "vmaf_train", "train", "--corpus", str(corpus), *DIMS]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while len(list(cache.cache_root().glob("*/[!.]*.json"))) < 3 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "the same command continues from there" in said
    assert "Traceback" not in said
    kept = [path for path in files_below(cache.cache_root()) if path.suffix == ".json"]
    assert 3 <= len(kept) < 24
    assert all(len(json.loads(path.read_text())["scores"]["vmaf_v0.6.1"]) == 60 for path in kept)
    assert (only_run().info.status, only_run().data.tags["error"]) == ("KILLED", "interrupted")
    assert (
        f"{24 - len(kept)} extracted, {len(kept)} already there"
        in call("prewarm", "--corpus", corpus, *DIMS).output
    )


COMMANDS = ("prewarm", "export-features", "train", "sweep", "evaluate", "main", "register", "sync")


def test_help_lists_every_command():
    listed = call("--help")
    assert listed.exit_code == 0
    assert all(command in listed.output for command in (*COMMANDS, "score"))


@pytest.mark.parametrize("command", [*COMMANDS, "score"])
def test_every_command_has_help(command):
    assert call(command, "--help").exit_code == 0
