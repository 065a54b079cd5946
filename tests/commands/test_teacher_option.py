"""The option `teacher`: several in one prewarm, one elsewhere, and tables of another teacher."""

import json

import pytest
from conftest import write_corpus

from vmaf_train.commands.prewarm import prewarm
from vmaf_train.corpus_options import teachers_in
from vmaf_train.errors import InputError
from vmaf_train.extraction.cache import cache_root
from vmaf_train.frames.choice import REAL, CorpusChoice
from vmaf_train.frames.opening import open_corpus
from vmaf_train.frames.real import REAL_TABLES
from vmaf_train.reporting import Reporter
from vmaf_train.teacher.teachers import DEFAULT_TEACHER, find_teacher

BOTH = "vmaf_v0.6.1,vmaf_v1.0.16_3d0h"


class Lines(Reporter):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def corpus_of(folder, teacher, dims="320x180", **options):
    return CorpusChoice(
        corpus=str(folder), assume_dims=dims, teachers=teachers_in(teacher), **options
    )


def test_an_entry_is_completed_by_the_teachers_that_it_lacks(tmp_path):
    folder = write_corpus(tmp_path / "c", dims=(320, 180))
    assert prewarm(corpus_of(folder, "vmaf_v0.6.1"), Reporter()).extracted
    (path, *_) = sorted(cache_root().rglob("[A-Z]*/*.json"))
    first = json.loads(path.read_text())
    assert prewarm(corpus_of(folder, BOTH), Reporter()).extracted
    second = json.loads(path.read_text())
    assert list(second["scores"]) == BOTH.split(",")
    assert second["scores"]["vmaf_v0.6.1"] == first["scores"]["vmaf_v0.6.1"]
    for teacher in (BOTH, *BOTH.split(","), "auto"):
        assert prewarm(corpus_of(folder, teacher), Reporter()).extracted == 0


def test_a_damaged_entry_is_told_of_once(tmp_path, caplog):
    folder = write_corpus(tmp_path / "c", dims=(320, 180))
    prewarm(corpus_of(folder, "auto"), Reporter())
    (path, *_) = sorted(cache_root().rglob("[A-Z]*/*.json"))
    path.write_text("{")
    caplog.clear()
    assert prewarm(corpus_of(folder, "auto"), Reporter()).extracted == 1
    assert [str(path) in record.getMessage() for record in caplog.records] == [True]


def test_pictures_that_are_too_small_for_a_teacher_are_refused_before_any_pass(tmp_path):
    folder = write_corpus(tmp_path / "c", dims=(160, 90))
    with pytest.raises(InputError, match=r"is 160x90, and libvmaf needs 160 by 216 pixels"):
        prewarm(corpus_of(folder, "vmaf_v1.0.16_3d0h", "160x90"), Reporter())
    assert not list(cache_root().rglob("[A-Z]*/*.json"))


def test_only_prewarm_takes_several_teachers():
    choice = CorpusChoice(corpus=REAL, teachers=teachers_in("vmaf_v0.6.1,vmaf_4k_v0.6.1"))
    with pytest.raises(InputError, match="only prewarm and sweep take several"):
        open_corpus(choice, Reporter())


@pytest.mark.parametrize("text", ["all", "", "vmaf_v0.6.1,"])
def test_text_that_is_no_teacher_is_refused(text):
    with pytest.raises(InputError, match="unknown teacher"):
        teachers_in(text)


def test_a_table_is_labelled_by_another_teacher_that_reads_the_same_features():
    reporter, teacher = Lines(), find_teacher("vmaf_4k_v0.6.1")
    table = open_corpus(CorpusChoice(corpus=REAL, teachers=(teacher,)), reporter).table(())
    own = open_corpus(CorpusChoice(corpus=REAL), Reporter()).table(())
    assert (table.teacher, own.teacher) == (teacher, DEFAULT_TEACHER)
    assert table.y_N.tolist() == teacher.score(own.x_NF, own.features).tolist()
    assert reporter.lines == ["real: labelled by the model file of vmaf_4k_v0.6.1"]


def test_a_table_without_a_teachers_features_is_refused_with_their_names():
    corpus = str(REAL_TABLES["vmaf_v0.6.1"])
    choice = CorpusChoice(corpus=corpus, teachers=(find_teacher("vmaf_v0.6.1neg"),))
    with pytest.raises(InputError, match=r"not the adm2_egl_1, .*; pass a corpus of clips"):
        open_corpus(choice, Reporter())
