"""Export-features: training from its file, and when no file is written."""

import errno
import json
import os

import numpy as np
import onnx
import pytest
from conftest import write_corpus
from pyarrow import parquet

from vmaf_train.commands.evaluate import evaluate_model
from vmaf_train.commands.export_features import export_features
from vmaf_train.commands.sweep import sweep
from vmaf_train.commands.train import train
from vmaf_train.errors import InputError
from vmaf_train.extraction.cache import cache_root
from vmaf_train.features import CANONICAL
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.frames.opening import open_corpus
from vmaf_train.reporting import Reporter
from vmaf_train.students.settings import Settings

SHORT = Settings(epochs=2, teacher_points=256)


def choice(path, **options):
    return CorpusChoice(corpus=str(path), **options)


def without_facts(student):
    """Return a student's bytes without the metadata."""
    model = onnx.load_from_string(student.content)
    del model.metadata_props[:]
    return model.SerializeToString(deterministic=True)


def test_training_from_the_file_gives_the_student_of_the_clips(
    exported, demo_cache, store, monkeypatch
):
    monkeypatch.setenv("VMAF_TINY_AI_CACHE", str(demo_cache))
    of_clips = train(CorpusChoice(), "mlp_small", SHORT, Reporter(), val_source="auto")
    monkeypatch.setenv("VMAF_FFMPEG", "no-such-ffmpeg")
    of_file = train(choice(exported), "mlp_small", SHORT, Reporter(), val_source="auto")
    assert of_file.report.dataset.digest == of_clips.report.dataset.digest
    assert of_file.report.rmse == of_clips.report.rmse
    assert of_file.report.libvmaf_version == of_clips.report.libvmaf_version
    assert without_facts(of_file.student) == without_facts(of_clips.student)
    assert of_clips.student.facts["corpus"] == "demo"
    assert of_file.student.facts == {**of_clips.student.facts, "corpus": "features.parquet"}


def test_train_evaluate_and_sweep_read_the_file_without_ffmpeg(exported, store, no_ffmpeg):
    swept = sweep(
        choice(exported, max_pairs=18), SHORT, Reporter(), archs=["linear"], folds=["Sand"], seeds=1
    )
    assert swept.comparisons[0].rows[0].arch == "linear"
    trained = train(choice(exported), "linear", SHORT, Reporter(), val_source="Sand")
    judged = evaluate_model(choice(exported), trained.links.run_id, Reporter(), val_source="Sand")
    assert judged.report.rmse == trained.report.rmse


def test_a_range_of_frames_is_exported_with_its_identity(tmp_path):
    corpus, path = write_corpus(tmp_path / "corpus"), tmp_path / "part.parquet"
    table = export_features(
        CorpusChoice(corpus=str(corpus), assume_dims="64x64", frames="2:5"), path, Reporter()
    )
    assert np.bincount(table.clip_N).tolist() == [3] * 4
    facts = json.loads(parquet.read_schema(path).metadata[b"vmaf_train"])
    assert [clip["identity"]["frames"] for clip in facts["clips"]] == [[2, 5]] * 4
    assert parquet.read_table(path)["frame"].to_pylist() == [0, 1, 2] * 4
    assert (
        open_corpus(choice(path), Reporter()).table(()).digest
        == table.select(CANONICAL.features).digest
    )


UNWRITABLE = [
    ("features.csv", r"does not end in \.parquet"),
    ("features", r"does not end in \.parquet"),
    ("no/folder/features.parquet", "cannot write .*name a file in a folder that can be written"),
    ("folder.parquet", "cannot write .*name a file in a folder that can be written"),
]


@pytest.mark.parametrize(("name", "message"), UNWRITABLE)
def test_an_unwritable_or_misnamed_file_is_refused(
    name, message, demo_cache, monkeypatch, tmp_path
):
    monkeypatch.setenv("VMAF_TINY_AI_CACHE", str(demo_cache))
    (tmp_path / "folder.parquet").mkdir()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=message):
        export_features(CorpusChoice(max_pairs=1), tmp_path / name, Reporter())
    assert sorted(tmp_path.iterdir()) == before


def test_a_missing_folder_is_refused_before_any_pass(tmp_path):
    corpus = write_corpus(tmp_path / "corpus")
    with pytest.raises(InputError, match="cannot write"):
        export_features(
            CorpusChoice(corpus=str(corpus), assume_dims="64x64"),
            tmp_path / "no" / "f.parquet",
            Reporter(),
        )
    assert list(cache_root().rglob("*.json")) == []


def test_a_full_disk_keeps_the_old_file(demo_cache, monkeypatch, tmp_path):
    monkeypatch.setenv("VMAF_TINY_AI_CACHE", str(demo_cache))
    path = tmp_path / "features.parquet"
    export_features(CorpusChoice(max_pairs=1), path, Reporter())
    before, write = path.read_bytes(), parquet.ParquetWriter.write_table

    def full(self, *args, **kwargs):
        write(self, *args, **kwargs)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(parquet.ParquetWriter, "write_table", full)
    with pytest.raises(InputError, match=r"cannot write .*No space left on device"):
        export_features(CorpusChoice(max_pairs=2), path, Reporter())
    assert path.read_bytes() == before
    assert list(tmp_path.glob(".*.part")) == []


def test_a_file_of_features_cannot_be_exported_again(exported, tmp_path):
    with pytest.raises(InputError, match="holds frame scores and no clips"):
        export_features(choice(exported), tmp_path / "again.parquet", Reporter())
