"""What a user types, and what comes back: output, exit code, and nothing written by mistake."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import write_corpus
from typer.testing import CliRunner

from vmaf_train.cli import app
from vmaf_train.extraction import cache, libvmaf

DIMS = ["--assume-dims", "64x64"]


def call(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def files_below(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus")


def break_nothing(corpus):
    return []


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
def test_a_bad_corpus_is_one_line_exit_2_and_nothing_written(
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
def test_a_bad_value_names_the_choices_and_writes_nothing(options, message, corpus, cold_store):
    result = call("train", "--corpus", corpus, *DIMS, *options)
    assert (result.exit_code, bool(re.search(message, result.output))) == (2, True), result.output
    assert files_below(cache.cache_root(), cold_store) == []


def test_a_trainer_that_is_none_is_bad_input_with_the_known_ones(corpus, cold_store):
    result = call("train", "--corpus", corpus, *DIMS, "--trainer", "foo")
    assert result.exit_code == 2
    assert "error: unknown trainer 'foo'; choose one of: plain, lightning\n" in result.output
    assert files_below(cache.cache_root(), cold_store) == []


def test_the_trainer_lightning_refuses_an_arch_that_is_solved_for(corpus, store):
    result = call("train", "--corpus", corpus, *DIMS, "--arch", "linear", "--trainer", "lightning")
    assert result.exit_code == 2
    assert re.search(r"^error: .*lightning.* linear .*trainer=plain$", result.output, flags=re.M), (
        result.output
    )
    assert "Traceback" not in result.output


@pytest.mark.parametrize("missing", ["vmaf_train.students.lightning", "lightning"])
def test_the_trainer_lightning_without_its_extra_says_what_to_install(
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
def test_a_training_shows_itself_without_the_teachers_points_where_it_had_some(
    points, corpus, store
):
    import mlflow

    result = call("train", "--corpus", corpus, *DIMS, "--epochs", 1, "--teacher-points", points)
    assert result.exit_code == 0, result.output
    assert ("without teacher's points" in result.output) == bool(points)
    assert re.search(r"box of possible features: RMSE .* \(200000 random vectors", result.output)
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    report = json.loads(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/eval_report.json"))
    logged = run.data.metrics
    assert logged["box/max_abs_error"] == pytest.approx(report["box"]["max_abs_error"])
    assert logged["box/rmse"] == pytest.approx(report["box"]["rmse"])
    assert (
        bool(report["without_teacher_points"])
        == ("val_without_points/rmse" in logged)
        == bool(points)
    )
    if points:
        assert logged["val_without_points/rmse"] == pytest.approx(
            report["without_teacher_points"]["rmse"]
        )


def test_a_corpus_of_one_source_cannot_be_trained_on(tmp_path, cold_store):
    corpus = write_corpus(tmp_path / "corpus", sources=("Alpha",))
    result = call("train", "--corpus", corpus, *DIMS)
    assert result.exit_code == 2
    assert "Alpha is the only source" in result.output
    assert files_below(cache.cache_root(), cold_store) == []


@pytest.mark.parametrize("model", ["nowhere.onnx", "f" * 32, "models:/vmaf_tiny/7", "what"])
def test_a_model_that_is_not_there_is_bad_input(model, corpus, store):
    result = call("evaluate", "--model", model, "--corpus", corpus, *DIMS)
    assert result.exit_code == 2, result.output
    assert model in result.output


def test_no_ffmpeg_is_bad_input_with_the_next_step(corpus, cold_store, monkeypatch):
    monkeypatch.setenv("VMAF_FFMPEG", "no-such-ffmpeg")
    result = call("train", "--corpus", corpus, *DIMS)
    assert result.exit_code == 2
    assert "no ffmpeg at no-such-ffmpeg; set VMAF_FFMPEG" in result.output
    assert files_below(cache.cache_root(), cold_store) == []


def test_an_ffmpeg_without_libvmaf_is_bad_input_with_its_words(
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


def test_a_cache_that_cannot_be_written_is_bad_input(corpus, cold_store, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("VMAF_TINY_AI_CACHE", str(tmp_path / "file" / "cache"))
    result = call("train", "--corpus", corpus, *DIMS)
    assert result.exit_code == 2
    assert "cannot write the cache" in result.output
    assert "set VMAF_TINY_AI_CACHE" in result.output
    assert files_below(cold_store) == []


def test_a_disk_that_fills_up_ends_the_prewarm_with_what_fits_kept(corpus, monkeypatch):
    written = []
    whole_write = cache.write_whole

    def fills_up(path, content):
        if content and len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.extend([path] if content else [])
        whole_write(path, content)

    monkeypatch.setattr(cache, "write_whole", fills_up)
    result = call("prewarm", "--corpus", corpus, *DIMS, "--jobs", 1)
    assert (result.exit_code, "No space left" in result.output) == (2, True)
    assert sorted(written) == files_below(cache.cache_root())


def test_files_left_out_are_listed_and_counted_and_the_rest_is_done(corpus):
    (corpus / "dis" / "Gamma_10_32_50.yuv").write_bytes(bytes(64 * 64 * 3 // 2))
    (corpus / "dis" / "holiday.yuv").write_bytes(b"")
    result = call("prewarm", "--corpus", corpus, *DIMS)
    assert result.exit_code == 0, result.output
    assert "left out: dis/Gamma_10_32_50.yuv: no reference" in result.output
    assert "left out: dis/holiday.yuv: name is not" in result.output
    assert "4 pairs, 24 frames: 4 extracted, 0 already there, 2 files left out" in result.output


def test_prewarm_does_only_what_is_missing(corpus):
    assert "4 extracted, 0 already there" in call("prewarm", "--corpus", corpus, *DIMS).output
    (cache.cache_root() / "Alpha" / f"{next((corpus / 'dis').glob('Alpha*')).stem}.json").unlink()
    assert "1 extracted, 3 already there" in call("prewarm", "--corpus", corpus, *DIMS).output


def test_a_list_of_no_sources_is_bad_input(corpus):
    assert call("prewarm", "--corpus", corpus, *DIMS, "--sources", ",").exit_code == 2


def test_prewarm_keeps_the_sources_asked_for(corpus):
    assert (
        "2 pairs, 12 frames"
        in call("prewarm", "--corpus", corpus, *DIMS, "--sources", "Beta").output
    )
    assert [path.parent.name for path in files_below(cache.cache_root())] == ["Beta", "Beta"]


def test_prewarm_scores_the_frames_asked_for(corpus):
    assert (
        "4 pairs, 12 frames: 4 extracted"
        in call("prewarm", "--corpus", corpus, *DIMS, "--frames", "2:5").output
    )
    assert (
        "4 pairs, 12 frames: 0 extracted"
        in call("prewarm", "--corpus", corpus, *DIMS, "--frames", "2:5").output
    )
    assert "4 pairs, 24 frames: 4 extracted" in call("prewarm", "--corpus", corpus, *DIMS).output


def test_prewarm_asks_the_scheduler_that_is_named(corpus):
    result = call("prewarm", "--corpus", corpus, *DIMS, "--scheduler", "nowhere")
    assert result.exit_code == 2, result.output
    assert "error: no Dask scheduler with a worker answers at nowhere" in result.output
    assert files_below(cache.cache_root()) == []


def test_exported_features_are_a_corpus_to_train_from(corpus, store):
    result = call("export-features", "out.parquet", "--corpus", corpus, *DIMS)
    assert (result.exit_code, Path("out.parquet").is_file()) == (0, True), result.output
    assert "24 frames of 4 clips" in result.output
    line = result.output.splitlines()[-1]
    assert line == "train from it: vmaf-train train --corpus out.parquet"
    result = call(*line.split()[4:], "--epochs", "1")
    assert result.exit_code == 0, result.output


def failing_for(clip: str, folder: Path) -> str:
    """Write an ffmpeg that fails for one clip and is the real one otherwise."""
    script = folder / "ffmpeg"
    real = libvmaf.find_ffmpeg().path
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *{clip}*) echo broken pixels >&2; exit 9;; esac\nexec {real} "$@"\n'
    )
    script.chmod(0o755)
    return str(script)


def test_a_pair_that_fails_does_not_stop_the_others(corpus, monkeypatch, tmp_path):
    clip = sorted(path.stem for path in (corpus / "dis").iterdir())[0]
    monkeypatch.setenv("VMAF_FFMPEG", failing_for(clip, tmp_path))
    result = call("prewarm", "--corpus", corpus, *DIMS)
    assert result.exit_code == 1
    assert f"1 of 4 pairs failed, the others are in the cache: {clip}: " in result.output
    assert "broken pixels" in result.output
    assert len(files_below(cache.cache_root())) == 3


def test_an_interrupt_marks_the_run_killed_and_keeps_a_whole_cache(tmp_path, store):
    import mlflow

    corpus = write_corpus(tmp_path / "corpus", rungs=12, frames=60)
    command = [sys.executable, "-m", "vmaf_train", "train", "--corpus", str(corpus), *DIMS]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while len(list(cache.cache_root().glob("*/[!.]*.json"))) < 3 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "the same command continues from there" in told
    assert "Traceback" not in told
    kept = [path for path in files_below(cache.cache_root()) if path.suffix == ".json"]
    assert 3 <= len(kept) < 24
    assert all(len(json.loads(path.read_text())["teacher_scores"]) == 60 for path in kept)
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert (run.info.status, run.data.tags["error"]) == ("KILLED", "interrupted")
    assert (
        f"{24 - len(kept)} extracted, {len(kept)} already there"
        in call("prewarm", "--corpus", corpus, *DIMS).output
    )


def test_help_describes_every_command():
    assert call("--help").exit_code == 0
    for command in ("prewarm", "train", "sweep", "evaluate", "main", "register", "sync"):
        assert command in call("--help").output
        assert call(command, "--help").exit_code == 0
