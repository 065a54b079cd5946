import dataclasses
import errno
import json
import os

import numpy as np
import onnx
import pyarrow as pa
import pytest
from conftest import write_corpus
from pyarrow import parquet

from vmaf_train.commands.evaluate import evaluate_model
from vmaf_train.commands.export_features import export_features
from vmaf_train.commands.prewarm import prewarm
from vmaf_train.commands.sweep import sweep
from vmaf_train.commands.train import train
from vmaf_train.errors import InputError
from vmaf_train.extraction.cache import cache_root
from vmaf_train.extraction.logs import parse_log
from vmaf_train.features import ADM_DETAILS, CANONICAL
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.frames.opening import open_corpus
from vmaf_train.frames.parquet import read_parquet, write_parquet
from vmaf_train.reporting import Reporter
from vmaf_train.students.settings import Settings
from vmaf_train.teacher.teachers import DEFAULT_TEACHER, TEACHERS

SHORT = Settings(epochs=2, teacher_points=256)


@pytest.fixture(scope="module")
def exported(demo_cache, tmp_path_factory):
    """The demo corpus in a file."""
    path = tmp_path_factory.mktemp("exported") / "features.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VMAF_TINY_AI_CACHE", str(demo_cache))
        export_features(CorpusChoice(), path, Reporter())
    return path


@pytest.fixture
def no_ffmpeg(monkeypatch):
    monkeypatch.setenv("VMAF_FFMPEG", "no-such-ffmpeg")


def choice(path, **options):
    return CorpusChoice(corpus=str(path), **options)


def without_facts(student):
    """Return a student's bytes without what the file says of itself."""
    model = onnx.load_from_string(student.content)
    del model.metadata_props[:]
    return model.SerializeToString(deterministic=True)


def test_a_student_trained_from_the_file_is_that_of_the_clips(
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


def test_the_file_holds_every_number_that_the_cache_holds(exported, demo_cache):
    table = read_parquet(exported).table
    assert table.features == (*CANONICAL.features, *ADM_DETAILS)
    assert (len(table.clips), len(table)) == (72, 72 * 48)
    for index in (0, 40, 71):
        envelope = json.loads(
            (demo_cache / table.clip_sources[index] / f"{table.clips[index]}.json").read_text()
        )
        rows = table.rows_of(index)
        assert table.y_N[rows].tolist() == envelope["teacher_scores"]
        for column, name in enumerate(table.features):
            assert table.x_NF[rows, column].tolist() == envelope["features"][name]


def test_the_file_tells_what_made_it(exported, demo_cache):
    facts = json.loads(parquet.read_schema(exported).metadata[b"vmaf_train"])
    assert facts["features"] == [*CANONICAL.features, *ADM_DETAILS]
    assert (facts["teacher"], facts["digest"]) == (
        DEFAULT_TEACHER.name,
        read_parquet(exported).table.digest,
    )
    first = facts["clips"][0]
    envelope = json.loads((demo_cache / first["source"] / f"{first['clip']}.json").read_text())
    assert first["identity"] == envelope["identity"]
    assert facts["libvmaf_version"] == envelope["identity"]["libvmaf_version"]


def test_other_programs_see_source_clip_and_frame_of_each_row(exported):
    frame = parquet.read_table(exported).to_pandas()
    assert dict(frame.groupby("source", observed=True)["clip"].nunique()) == dict.fromkeys(
        frame["source"].unique(), 8
    )
    rows = frame.iloc[48:50].to_dict("records")
    assert [(row["source"], row["frame"]) for row in rows] == [("Colony", 0), ("Colony", 1)]
    assert rows[0]["clip"] == read_parquet(exported).table.clips[1]
    assert rows[1]["vmaf"] == read_parquet(exported).table.y_N[49]


def test_evaluate_and_sweep_take_it_without_an_ffmpeg(exported, store, no_ffmpeg):
    swept = sweep(
        choice(exported, max_pairs=18), SHORT, Reporter(), archs=["linear"], folds=["Sand"], seeds=1
    )
    assert swept.comparison.rows[0].arch == "linear"
    trained = train(choice(exported), "linear", SHORT, Reporter(), val_source="Sand")
    judged = evaluate_model(choice(exported), trained.links.run_id, Reporter(), val_source="Sand")
    assert judged.report.rmse == trained.report.rmse


@pytest.mark.parametrize(("max_pairs", "counts"), [(9, {1}), (12, {1, 2}), (0, {8})])
def test_max_pairs_takes_its_sources_in_turn(exported, max_pairs, counts, no_ffmpeg):
    corpus = open_corpus(choice(exported, max_pairs=max_pairs), Reporter())
    assert {corpus.clip_sources.count(source) for source in corpus.sources} == counts
    assert len(corpus.sources) == 9
    assert len(corpus.table(("Sand",)).clips) == corpus.clip_sources.count("Sand")


def test_a_range_of_frames_can_be_exported_and_the_file_tells_which(tmp_path):
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
    "a changed feature": (
        rewrite(
            lambda t: with_column(
                t, "aim", np.where(np.arange(len(t)) == 7, 0.5, t["aim"].to_numpy())
            )
        ),
        "not those that were exported",
    ),
    "a changed score": (
        rewrite(
            lambda t: with_column(
                t, "vmaf", np.where(np.arange(len(t)) == 7, 50.0, t["vmaf"].to_numpy())
            )
        ),
        "not those that were exported",
    ),
    "rows in another order": (
        rewrite(lambda t: t.take(np.arange(len(t))[::-1])),
        "not those that were exported",
    ),
    "a row more": (
        rewrite(lambda t: pa.concat_tables([t, t.slice(len(t) - 1)])),
        "not those that were exported",
    ),
    "missing rows": (rewrite(lambda t: t.slice(1)), "not those that were exported"),
    "a missing column": (
        rewrite(lambda t: t.drop_columns(["adm2"])),
        "no file of exported features",
    ),
    "no facts": (rewrite(lambda t: t.replace_schema_metadata({})), "no file of exported features"),
    "other facts": (
        rewrite(lambda t: t.replace_schema_metadata({"vmaf_train": "{}"})),
        "no file of exported features",
    ),
    "no Parquet": (lambda path: path.write_text("vmaf"), "no file of exported features"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-9]), "no file of exported features"),
    "no file": (lambda path: path.unlink(), "^no file "),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_file_that_is_not_as_it_was_exported_is_refused_with_the_next_step(
    name, exported, tmp_path
):
    damage, message = DAMAGES[name]
    path = tmp_path / "damaged.parquet"
    path.write_bytes(exported.read_bytes())
    damage(path)
    with pytest.raises(InputError, match=rf"{message}.*vmaf-train export-features"):
        open_corpus(choice(path), Reporter())


def test_a_score_that_changed_by_the_last_bit_is_found(exported, tmp_path):
    path = tmp_path / "damaged.parquet"
    last = parquet.read_table(exported)["vmaf"].to_numpy().copy()
    last[-1] = np.nextafter(last[-1], 0)
    parquet.write_table(with_column(parquet.read_table(exported), "vmaf", last), path)
    with pytest.raises(InputError, match="not those that were exported"):
        open_corpus(choice(path), Reporter())


def test_what_only_clips_have_is_refused_for_a_file(exported):
    for options in ({"frames": "0:4"}, {"assume_dims": "64x64"}):
        with pytest.raises(InputError, match="leave frames and assume_dims out"):
            open_corpus(choice(exported, **options), Reporter())
    for command in (
        prewarm,
        lambda *args: export_features(args[0], exported, args[1]),
    ):
        with pytest.raises(InputError, match="holds frame scores and no clips"):
            command(choice(exported), Reporter())


UNWRITABLE = [
    ("features.csv", r"does not end in \.parquet"),
    ("features", r"does not end in \.parquet"),
    ("no/folder/features.parquet", "cannot write .*name a file in a folder that can be written"),
    ("folder.parquet", "cannot write .*name a file in a folder that can be written"),
]


@pytest.mark.parametrize(("name", "message"), UNWRITABLE)
def test_a_file_that_cannot_be_or_should_not_be_written_is_refused(
    name, message, demo_cache, monkeypatch, tmp_path
):
    monkeypatch.setenv("VMAF_TINY_AI_CACHE", str(demo_cache))
    (tmp_path / "folder.parquet").mkdir()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=message):
        export_features(CorpusChoice(max_pairs=1), tmp_path / name, Reporter())
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_does_not_exist_is_refused_before_any_pass(tmp_path):
    corpus = write_corpus(tmp_path / "corpus")
    with pytest.raises(InputError, match="cannot write"):
        export_features(
            CorpusChoice(corpus=str(corpus), assume_dims="64x64"),
            tmp_path / "no" / "f.parquet",
            Reporter(),
        )
    assert list(cache_root().rglob("*.json")) == []


def test_a_disk_that_fills_up_leaves_the_file_that_was_there(demo_cache, monkeypatch, tmp_path):
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


def test_a_libvmaf_that_logs_no_details_has_no_columns_for_them():
    metrics = dict.fromkeys(CANONICAL.features, 0.5) | {"vmaf": 50.0}
    log = {"frames": [{"frameNum": 0, "metrics": metrics}]}
    assert parse_log(json.dumps(log), "clip", 1, DEFAULT_TEACHER).features == CANONICAL.features


def test_a_feature_that_is_not_there_is_named(exported):
    table = dataclasses.replace(read_parquet(exported).table.select(CANONICAL.features))
    with pytest.raises(InputError, match="no aim among the features adm2"):
        table.select(("adm2", "aim"))


def test_a_file_brings_its_own_teacher(exported, tmp_path, monkeypatch):
    few = CANONICAL.features[:4]
    other = dataclasses.replace(DEFAULT_TEACHER, name="other", features=few)
    monkeypatch.setitem(TEACHERS, other.name, other)
    table = dataclasses.replace(read_parquet(exported).table.select(few), teacher=other)
    facts = [{} for _ in table.clips]
    write_parquet(table, tmp_path / "other.parquet", "86da14d", facts)
    corpus = open_corpus(choice(tmp_path / "other.parquet"), Reporter(), few[:2])
    assert corpus.teacher is other
    assert corpus.table(()).features == few
