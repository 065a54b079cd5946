import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from vmaf_train import pipeline
from vmaf_train.dataset import read_parquet
from vmaf_train.errors import InputError
from vmaf_train.features import ADM_DETAILS, CANONICAL, TEACHER
from vmaf_train.frames import CorpusChoice, open_corpus
from vmaf_train.libvmaf import parse_log
from vmaf_train.reporting import Reporter
from vmaf_train.training import Settings

SHORT = Settings(epochs=2, teacher_points=256)


@pytest.fixture(scope="module")
def exported(demo_cache, tmp_path_factory):
    """The demo corpus in a file."""
    path = tmp_path_factory.mktemp("exported") / "features.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VMAF_TINY_AI_CACHE", str(demo_cache))
        pipeline.export_features(CorpusChoice(), path, Reporter())
    return path


@pytest.fixture
def no_ffmpeg(monkeypatch):
    monkeypatch.setenv("VMAF_FFMPEG", "no-such-ffmpeg")


def choice(path, **options):
    return CorpusChoice(str(path), **options)


def test_a_student_trained_from_the_file_is_that_of_the_clips(
    exported, demo_cache, store, monkeypatch, tmp_path_factory
):
    monkeypatch.setenv("VMAF_TINY_AI_CACHE", str(demo_cache))
    of_clips = pipeline.train(CorpusChoice(), "mlp_small", "auto", SHORT, Reporter())
    monkeypatch.setenv("VMAF_FFMPEG", "no-such-ffmpeg")
    of_file = pipeline.train(choice(exported), "mlp_small", "auto", SHORT, Reporter())
    assert of_file.report.dataset.digest == of_clips.report.dataset.digest
    assert of_file.report.rmse == of_clips.report.rmse
    assert of_file.report.libvmaf_version == of_clips.report.libvmaf_version
    x_NF = read_parquet(exported).table.select(CANONICAL.features).x_NF
    assert of_file.student.score(x_NF).tolist() == of_clips.student.score(x_NF).tolist()


def test_the_file_holds_every_number_that_the_cache_holds(exported, demo_cache):
    table = read_parquet(exported).table
    assert table.features == (*CANONICAL.features, *ADM_DETAILS)
    assert (len(table.clips), len(table)) == (72, 72 * 48)
    for index in (0, 40, 71):
        envelope = json.loads((demo_cache / table.clip_sources[index] / f"{table.clips[index]}.json").read_text())
        rows = table.rows_of(index)
        assert table.y_N[rows].tolist() == envelope["teacher_scores"]
        for column, name in enumerate(table.features):
            assert table.x_NF[rows, column].tolist() == envelope["features"][name]


def test_the_file_tells_what_made_it(exported, demo_cache):
    facts = json.loads(parquet.read_schema(exported).metadata[b"vmaf_train"])
    assert facts["features"] == [*CANONICAL.features, *ADM_DETAILS]
    assert (facts["teacher"], facts["digest"]) == (TEACHER, read_parquet(exported).table.digest)
    first = facts["clips"][0]
    envelope = json.loads((demo_cache / first["source"] / f"{first['clip']}.json").read_text())
    assert first["identity"] == envelope["identity"]
    assert facts["libvmaf_version"] == envelope["identity"]["libvmaf_version"]


def test_other_programs_see_source_clip_and_frame_of_each_row(exported):
    rows = parquet.read_table(exported).slice(48, 2).to_pylist()
    assert [(row["source"], row["frame"]) for row in rows] == [("Colony", 0), ("Colony", 1)]
    assert rows[0]["clip"] == read_parquet(exported).table.clips[1]
    assert rows[1]["vmaf"] == read_parquet(exported).table.y_N[49]


def test_evaluate_and_sweep_take_it_without_an_ffmpeg(exported, store, no_ffmpeg):
    swept = pipeline.sweep(choice(exported, max_pairs=18), ["linear"], ["Sand"], 1, SHORT, Reporter())
    assert swept.comparison.rows[0].arch == "linear"
    trained = pipeline.train(choice(exported), "linear", "Sand", SHORT, Reporter())
    judged = pipeline.evaluate_model(choice(exported), trained.where[0].split()[1], "Sand", Reporter())
    assert judged.report.rmse == trained.report.rmse


@pytest.mark.parametrize(("max_pairs", "counts"), [(9, {1}), (12, {1, 2}), (0, {8})])
def test_max_pairs_takes_its_sources_in_turn(exported, max_pairs, counts, no_ffmpeg):
    corpus = open_corpus(choice(exported, max_pairs=max_pairs), Reporter())
    assert {corpus.clip_sources.count(source) for source in corpus.sources} == counts
    assert len(corpus.sources) == 9
    assert len(corpus.table(("Sand",)).clips) == corpus.clip_sources.count("Sand")


def test_a_smoke_of_it_knows_no_score(exported, no_ffmpeg):
    table = open_corpus(choice(exported), Reporter(), smoke=True).table(())
    assert not table.x_NF.any() and not table.y_N.any()


def rewrite(change):
    def act(path):
        table = parquet.read_table(path)
        parquet.write_table(change(table), path)

    return act


def with_column(table, name, values):
    return table.set_column(table.schema.get_field_index(name), name, pa.array(values))


DAMAGES = {
    "a changed score": (
        rewrite(lambda t: with_column(t, "vmaf", np.where(np.arange(len(t)) == 7, 50.0, t["vmaf"].to_numpy()))),
        "not those that were exported",
    ),
    "rows in another order": (rewrite(lambda t: t.take(np.arange(len(t))[::-1])), "not those that were exported"),
    "missing rows": (rewrite(lambda t: t.slice(1)), "not those that were exported"),
    "a missing column": (rewrite(lambda t: t.drop_columns(["adm2"])), "no file of exported features"),
    "no facts": (rewrite(lambda t: t.replace_schema_metadata({})), "no file of exported features"),
    "other facts": (rewrite(lambda t: t.replace_schema_metadata({"vmaf_train": "{}"})), "no file of exported features"),
    "no Parquet": (lambda path: path.write_text("vmaf"), "no file of exported features"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-9]), "no file of exported features"),
    "no file": (lambda path: path.unlink(), "no file "),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_file_that_is_not_as_it_was_exported_is_refused_with_the_next_step(name, exported, tmp_path):
    damage, message = DAMAGES[name]
    path = tmp_path / "damaged.parquet"
    path.write_bytes(exported.read_bytes())
    damage(path)
    with pytest.raises(InputError, match=rf"{message}.*vmaf-train export-features"):
        open_corpus(choice(path), Reporter())


def test_what_only_clips_have_is_refused_for_a_file(exported):
    for options in ({"frames": "0:4"}, {"assume_dims": "64x64"}):
        with pytest.raises(InputError, match="leave frames and assume_dims out"):
            open_corpus(choice(exported, **options), Reporter())
    with pytest.raises(InputError, match="holds frame scores and no clips"):
        pipeline.prewarm(choice(exported), Reporter())


@pytest.mark.parametrize("name", ["features.csv", "features", "no/folder/features.parquet"])
def test_a_file_that_cannot_be_or_should_not_be_written_is_refused(name, demo_cache, monkeypatch, tmp_path):
    monkeypatch.setenv("VMAF_TINY_AI_CACHE", str(demo_cache))
    with pytest.raises(InputError, match=r"does not end in \.parquet|cannot write"):
        pipeline.export_features(CorpusChoice(max_pairs=1), tmp_path / name, Reporter())


def test_a_libvmaf_that_logs_no_details_has_no_columns_for_them():
    metrics = dict.fromkeys(CANONICAL.features, 0.5) | {"vmaf": 50.0}
    log = {"frames": [{"frameNum": 0, "metrics": metrics}]}
    assert parse_log(json.dumps(log), "clip", 1).features == CANONICAL.features


def test_a_feature_that_is_not_there_is_named(exported):
    table = dataclasses.replace(read_parquet(exported).table.select(CANONICAL.features))
    with pytest.raises(InputError, match="no aim among the features adm2"):
        table.select(("adm2", "aim"))
