"""The Parquet file of a table: its columns, its metadata, and refused files."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from vmaf_train.errors import InputError
from vmaf_train.features import ADM_DETAILS, CANONICAL
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.frames.opening import open_corpus
from vmaf_train.frames.parquet import read_parquet, write_parquet
from vmaf_train.reporting import Reporter
from vmaf_train.teacher.teachers import DEFAULT_TEACHER, find_teacher


def choice(path, **options):
    return CorpusChoice(corpus=str(path), **options)


def test_the_file_holds_every_cached_number(exported, demo_cache):
    table = read_parquet(exported).table
    assert table.features == (*CANONICAL.features, *ADM_DETAILS)
    assert (len(table.clips), len(table)) == (72, 72 * 48)
    for index in (0, 40, 71):
        envelope = json.loads(
            (demo_cache / table.clip_sources[index] / f"{table.clips[index]}.json").read_text()
        )
        rows = table.rows_of(index)
        assert table.y_N[rows].tolist() == envelope["scores"]["vmaf_v0.6.1"]
        for column, name in enumerate(table.features):
            assert table.x_NF[rows, column].tolist() == envelope["features"][name]


def test_the_metadata_names_features_teacher_libvmaf_and_identities(exported, demo_cache):
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


def test_each_row_names_its_source_clip_and_frame(exported):
    frame = parquet.read_table(exported).to_pandas()
    assert dict(frame.groupby("source", observed=True)["clip"].nunique()) == dict.fromkeys(
        frame["source"].unique(), 8
    )
    rows = frame.iloc[48:50].to_dict("records")
    assert [(row["source"], row["frame"]) for row in rows] == [("Colony", 0), ("Colony", 1)]
    assert rows[0]["clip"] == read_parquet(exported).table.clips[1]
    assert rows[1]["vmaf"] == read_parquet(exported).table.y_N[49]


def rewrite(change):
    """Return a function that changes the rows of a file."""

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
def test_a_changed_file_is_refused_with_the_next_step(name, exported, tmp_path):
    damage, message = DAMAGES[name]
    path = tmp_path / "damaged.parquet"
    path.write_bytes(exported.read_bytes())
    damage(path)
    with pytest.raises(InputError, match=rf"{message}.*vmaf-train export-features"):
        open_corpus(choice(path), Reporter())


def test_a_change_of_the_last_bit_is_found(exported, tmp_path):
    path = tmp_path / "damaged.parquet"
    last = parquet.read_table(exported)["vmaf"].to_numpy().copy()
    last[-1] = np.nextafter(last[-1], 0)
    parquet.write_table(with_column(parquet.read_table(exported), "vmaf", last), path)
    with pytest.raises(InputError, match="not those that were exported"):
        open_corpus(choice(path), Reporter())


def test_a_file_brings_its_own_teacher(exported, tmp_path):
    few = CANONICAL.features
    other = find_teacher("vmaf_4k_v0.6.1")
    table = dataclasses.replace(read_parquet(exported).table.select(few), teacher=other)
    facts = [{} for _ in table.clips]
    write_parquet(table, tmp_path / "other.parquet", "86da14d", facts)
    corpus = open_corpus(choice(tmp_path / "other.parquet"), Reporter(), few[:2])
    assert corpus.teacher is other
    assert corpus.table(()).teacher is other
    assert corpus.table(()).features == few
    assert corpus.table(()).y_N.tolist() == table.y_N.tolist()
