"""The choice of a corpus: its kind, its name, its size and its cores."""

from pathlib import Path

import pytest

from vmaf_train.clips.video import YuvFormat
from vmaf_train.frames.choice import CorpusChoice


@pytest.mark.parametrize(
    ("corpus", "is_demo", "is_table", "name"),
    [
        ("demo", True, False, "demo"),
        ("some/folder/", False, False, "folder"),
        ("some/features.parquet", False, True, "features.parquet"),
    ],
)
def test_a_corpus_is_the_demo_a_folder_or_a_file(corpus, is_demo, is_table, name):
    choice = CorpusChoice(corpus=corpus)
    assert (choice.is_demo, choice.is_table, choice.name) == (is_demo, is_table, name)


def test_a_path_may_start_at_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/somebody")
    assert CorpusChoice(corpus="~/clips").path == Path("/somebody/clips")


def test_dims_are_those_asked_for_or_the_default():
    default = YuvFormat(320, 180)
    assert CorpusChoice().format_or(default) == default
    assert CorpusChoice(assume_dims="64x48").format_or(default) == YuvFormat(64, 48)


def test_jobs_limit_the_cores(monkeypatch):
    monkeypatch.setattr("vmaf_train.frames.choice.cores", lambda: 5)
    assert (CorpusChoice(jobs=2).cores, CorpusChoice().cores) == (2, 5)
