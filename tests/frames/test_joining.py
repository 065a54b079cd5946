"""Corpora joined by "+": names of sources, and what cannot be joined."""

import dataclasses
import json

import numpy as np
import pytest
from conftest import Lines

from vmaf_train.errors import InputError
from vmaf_train.extraction.libvmaf import find_ffmpeg
from vmaf_train.features import CANONICAL
from vmaf_train.frames.choice import REAL, CorpusChoice
from vmaf_train.frames.joining import check_joinable, check_no_copies, join_tables, unique_names
from vmaf_train.frames.opening import open_corpus
from vmaf_train.frames.parquet import read_parquet, write_parquet
from vmaf_train.frames.real import REAL_TABLES
from vmaf_train.reporting import Reporter
from vmaf_train.teacher.model_file import packaged_model
from vmaf_train.teacher.teachers import TEACHERS, find_teacher


def export(table, folder, version="1"):
    path = folder / "mine.parquet"
    write_parquet(table, path, version, [{}] * len(table.clips))
    return path


def opened(corpus):
    return open_corpus(CorpusChoice(corpus=str(corpus)), Reporter())


def test_a_source_of_two_corpora_gets_the_name_of_its_corpus():
    names = unique_names([("demo", ["Sand", "Sand", "Dunes"]), ("mine", ["Sand", "Car"])])
    assert names == [
        {"Dunes": "Dunes", "Sand": "demo/Sand"},
        {"Car": "Car", "Sand": "mine/Sand"},
    ]


def test_a_corpus_is_not_joined_with_itself():
    with pytest.raises(InputError, match="corpus demo is joined with itself"):
        opened("demo+demo")


def test_corpora_of_different_libvmaf_versions_are_refused_with_both_versions():
    check_joinable({"a": "3.2", "b": "3.2"})
    with pytest.raises(InputError, match=r"cannot be joined: a 3\.2, b 3\.1"):
        check_joinable({"a": "3.2", "b": "3.1"})


def test_joined_tables_keep_every_frame_with_its_clip_and_source(make_table):
    one, two = make_table(("Alpha", "Beta"), seed=1), make_table(("Alpha", "Gamma"), seed=2)
    names = unique_names([("one", one.clip_sources), ("two", two.clip_sources)])
    joined = join_tables([(one, names[0]), (two, names[1])])
    assert joined.sources == ("Beta", "Gamma", "one/Alpha", "two/Alpha")
    np.testing.assert_array_equal(joined.only(["two/Alpha"]).x_NF, two.only(["Alpha"]).x_NF)
    np.testing.assert_array_equal(joined.only(["Beta"]).y_N, one.only(["Beta"]).y_N)
    assert len(joined) == len(one) + len(two)


def test_tables_of_different_features_are_refused(make_table):
    one, two = make_table(seed=1), make_table(seed=2)
    fewer = two.select(CANONICAL.features[:-1])
    with pytest.raises(InputError, match="cannot be joined; export both with one version"):
        join_tables([(one, {}), (fewer, {})])


def test_the_same_frames_under_two_source_names_are_found_and_both_named(make_table, tmp_path):
    table = make_table(("Alpha", "Beta"))
    copied = table.x_NF.copy()
    copied[table.rows_of(4)] = copied[table.rows_of(1)]
    scores = table.y_N.copy()
    scores[table.rows_of(4)] = scores[table.rows_of(1)]
    leaky = dataclasses.replace(table, x_NF=copied, y_N=scores)
    check_no_copies(table)
    message = f"clip {table.clips[4]} of source Beta has the same frames as clip {table.clips[1]}"
    with pytest.raises(InputError, match=message):
        check_no_copies(leaky)
    with pytest.raises(InputError, match=message):
        opened(export(leaky, tmp_path))


def test_the_packaged_corpus_needs_no_ffmpeg_and_holds_what_the_teacher_says(monkeypatch):
    monkeypatch.setenv("VMAF_FFMPEG", "no-such-ffmpeg")
    for name in REAL_TABLES:
        teacher = find_teacher(name)
        corpus = open_corpus(CorpusChoice(corpus=REAL, teachers=(teacher,)), Reporter())
        table = corpus.table(())
        assert len(corpus.sources) == 31 and len(table) == 16_520 and table.teacher is teacher
        assert table.features == teacher.features
        scored_N = teacher.score(table.x_NF, table.features)
        # Measured: 1.7e-4 for vmaf_v0.6.1 and NEG, 2.1e-4 for VMAF v1.
        most = 3e-4 if "v1" in name else 2e-4
        assert np.abs(scored_N - table.y_N).max() < most


def test_the_packaged_corpus_serves_every_teacher_of_the_table():
    for name in TEACHERS:
        teacher = find_teacher(name)
        table = open_corpus(CorpusChoice(corpus=REAL, teachers=(teacher,)), Reporter()).table(())
        assert table.features == teacher.features and table.teacher is teacher
        assert np.abs(teacher.score(table.x_NF, table.features) - table.y_N).max() < 3e-4


def test_the_packaged_corpus_says_where_its_vectors_stand_for_those_of_other_options():
    reporter, teacher = Lines(), find_teacher("vmaf_v1.0.16_5d0h")
    open_corpus(CorpusChoice(corpus=REAL, teachers=(teacher,)), reporter)
    assert "vectors stand for frames with those of vmaf_v1.0.16_5d0h" in reporter.said[0]


def test_the_packaged_corpus_refuses_a_teacher_of_another_kind(tmp_path):
    content = json.loads(packaged_model("vmaf_v0.6.1").read_bytes())
    content["model_dict"]["slopes"][1] *= 2
    content["model_dict"]["feature_opts_dicts"] = [{"adm_norm_view_dist": 5.0}] + [{}] * 5
    path = tmp_path / "other.json"
    path.write_text(json.dumps(content))
    choice = CorpusChoice(corpus=REAL, teachers=(find_teacher(str(path)),))
    with pytest.raises(InputError, match="real holds no frames for other-"):
        open_corpus(choice, Reporter())


def test_the_packaged_corpus_is_of_the_libvmaf_that_the_packages_bring(monkeypatch):
    monkeypatch.delenv("VMAF_FFMPEG", raising=False)
    for path in REAL_TABLES.values():
        assert read_parquet(path).libvmaf_version == find_ffmpeg().libvmaf_version


def test_the_demo_and_the_packaged_corpus_are_one_corpus(demo_cache, monkeypatch):
    monkeypatch.setenv("VMAF_TINY_AI_CACHE", str(demo_cache))
    choice = CorpusChoice(corpus="demo+real")
    corpus = open_corpus(choice, Reporter())
    assert choice.name == "demo+real" and len(corpus.sources) == 9 + 31
    some = corpus.table(("Sand", "skiing"))
    assert some.sources == ("Sand", "skiing")
    assert len(corpus.table(())) == 72 * 48 + 16_520


def test_a_file_whose_name_holds_a_plus_is_one_corpus(make_table, tmp_path):
    path = export(make_table(), tmp_path).rename(tmp_path / "a+b.parquet")
    assert opened(path).sources == ["Alpha", "Beta", "Gamma"]
