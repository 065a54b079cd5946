"""Lists of opinion scores: matched by name, refused where their scale cannot be right."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from conftest import Lines, write_corpus

from vmaf_train.errors import InputError
from vmaf_train.frames.archive import pack, unpack
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.frames.joining import join_tables
from vmaf_train.frames.opening import open_corpus
from vmaf_train.frames.opinions import (
    NETFLIX_PUBLIC,
    NETFLIX_TABLE,
    check_learnable,
    matched,
    read_opinions,
)
from vmaf_train.frames.parquet import read_parquet, write_parquet
from vmaf_train.frames.table import rated_clips
from vmaf_train.reporting import Reporter
from vmaf_train.teacher.teachers import DEFAULT_TEACHER


def smoke_table(choice, said=None):
    return open_corpus(choice, said or Reporter(), smoke=True).table(())


def public_corpus(folder):
    """Write a corpus with the names of the public one; its pictures are small."""
    with NETFLIX_TABLE.open() as file:
        names = [row["name"] for row in csv.DictReader(file)]
    for kind in ("ref", "dis"):
        (folder / kind).mkdir(parents=True)
    for name in names:
        kind = "ref" if name.endswith("fps.yuv") else "dis"
        (folder / kind / name).write_bytes(bytes(64 * 64 * 3 // 2))
    return CorpusChoice(corpus=str(folder), assume_dims="64x64", mos_csv=NETFLIX_PUBLIC)


def test_all_clips_of_the_public_corpus_have_a_score_and_its_references_none(tmp_path):
    said = Lines()
    table = smoke_table(public_corpus(tmp_path / "c"), said)
    assert "70 of 70 clips have a score in netflix_public" in said.said
    assert not any("no clip here" in line for line in said.said)
    assert (len(table.sources), table.mos_C.max() > 100) == (9, True)
    index = table.clips.index("BigBuckBunny_20_288_375")
    assert table.mos_C[index] == 22.5


def test_near_relatives_are_held_out_together(tmp_path):
    choice = replace(public_corpus(tmp_path / "c"), same_source="ElFuente1+ElFuente2")
    corpus = open_corpus(choice, Reporter(), smoke=True)
    assert "ElFuente1-ElFuente2" in corpus.sources
    assert len(corpus.sources) == 8
    together = corpus.table(("ElFuente1-ElFuente2",))
    assert {clip.split("_")[0] for clip in together.clips} == {"ElFuente1", "ElFuente2"}
    assert together.sources == ("ElFuente1-ElFuente2",)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ("Alpha", r"no list of groups such as A\+B"),
        ("Alpha+Nobody", r"no Nobody in the corpus; it has Alpha, Beta"),
        ("Alpha+Alpha", r"no list of groups"),
    ],
)
def test_malformed_groups_are_refused(tmp_path, groups, message):
    corpus = write_corpus(tmp_path / "c")
    choice = CorpusChoice(corpus=str(corpus), assume_dims="64x64", same_source=groups)
    with pytest.raises(InputError, match=message):
        smoke_table(choice)


def test_clips_without_a_score_and_scores_without_a_clip_are_named(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("name,mos\na_1_2_3.yuv,50\nz_9_9_9.yuv,60\na_25fps.yuv,100\n")
    mos_C, lines = matched(read_opinions(str(path)), ("a_1_2_3", "b_1_2_3"))
    assert mos_C.tolist()[0] == 50 and np.isnan(mos_C[1])
    assert lines == [
        "1 of 2 clips have a score in scores.csv",
        "1 without a score teach only the teacher's: b_1_2_3",
        "1 scores are of no clip here: z_9_9_9",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,quality\na,1\n", "needs one column of scores: score, mos or dmos"),
        ("name,mos\na,x\n", "a has the score 'x'; write a number"),
        ("name,mos\na,inf\n", "a has the score 'inf'"),
        ("name,mos\na,10\na.yuv,20\n", r"gives a the scores 10\.0 and 20\.0; keep one"),
        ("mos\n10\n", "no row with the columns name"),
    ],
)
def test_a_malformed_list_is_refused(tmp_path, text, message):
    (tmp_path / "scores.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_opinions(str(tmp_path / "scores.csv"))


def rated(table, scores):
    return replace(table, mos_C=np.asarray(scores, dtype=np.float64))


def test_scores_of_five_categories_are_refused_with_the_formula(tmp_path, exported):
    (tmp_path / "s.csv").write_text("name,mos\nColony_10_72_16,1\nColony_20_72_26,4.5\n")
    choice = CorpusChoice(corpus=str(exported), mos_csv=str(tmp_path / "s.csv"))
    with pytest.raises(InputError, match=r"five categories .*write 25 \* \(score - 1\)"):
        open_corpus(choice, Reporter())
    choice = replace(choice, mos_csv=str(tmp_path / "t.csv"))
    (tmp_path / "t.csv").write_text("name,mos\nnobody,50\n")
    with pytest.raises(InputError, match=r"no name in t\.csv is that of a clip, such as Colony"):
        open_corpus(choice, Reporter())


def test_scores_of_impairment_and_of_too_few_sources_are_refused(exported):
    table = read_parquet(exported).table
    pooled = np.array([table.y_N[rows].mean() for rows in table.clip_rows])
    check_learnable(rated(table, pooled), ["Weather"])
    with pytest.raises(InputError, match=r"seem to rate the impairment; write 100 - score"):
        check_learnable(rated(table, 100 - pooled), ["Weather"])
    few = np.where(np.isin(table.clip_sources, ["Weather", "Sand"]), pooled, np.nan)
    with pytest.raises(InputError, match=r"without Weather, 1 source.*mos_csv"):
        check_learnable(rated(table, few), ["Weather"])


def test_scores_survive_every_way_of_a_table(exported, tmp_path):
    table = read_parquet(exported).table.only(("Sand", "Weather"))
    scores = np.arange(len(table.clips), dtype=np.float64)
    scores[3] = np.nan
    table = replace(rated(table, scores), psnr_C=scores + 30)
    np.testing.assert_array_equal(table.only(("Weather",)).mos_C, scores[8:])
    np.testing.assert_array_equal(table.take([1, 3]).psnr_C, scores[[1, 3]] + 30)
    assert rated_clips(table).sum() == len(scores) - 1

    write_parquet(table, tmp_path / "t.parquet", "3.2.0", [{}] * len(table.clips))
    again = read_parquet(tmp_path / "t.parquet").table
    np.testing.assert_array_equal(again.mos_C, scores)
    np.testing.assert_array_equal(again.psnr_C, scores + 30)
    unpacked, _ = unpack(pack(table, table.y_N), DEFAULT_TEACHER)
    np.testing.assert_array_equal(unpacked.mos_C, scores)

    names = {source: source for source in table.sources}
    plain = replace(read_parquet(exported).table.only(("Dunes",)))
    joined = join_tables([(table, names), (plain, {"Dunes": "Dunes"})])
    assert np.isnan(joined.mos_C[16:]).all() and joined.mos_C[2] == 2


def test_scores_are_part_of_the_digest_and_a_table_without_them_keeps_its_own(exported):
    table = read_parquet(exported).table
    nothing = rated(table, np.full(len(table.clips), np.nan))
    assert nothing.digest == table.digest
    assert rated(table, np.arange(len(table.clips))).digest != table.digest
