"""From the choice of a corpus to its frames: a file, clips, or a smoke."""

import pytest
from conftest import write_corpus

from vmaf_train.errors import InputError
from vmaf_train.extraction.cache import cache_root
from vmaf_train.features import ADM_DETAILS, CANONICAL
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.frames.finding import open_pairs
from vmaf_train.frames.opening import open_corpus
from vmaf_train.reporting import Reporter


def choice(path, **options):
    return CorpusChoice(corpus=str(path), **options)


@pytest.mark.parametrize(("max_pairs", "counts"), [(9, {1}), (12, {1, 2}), (0, {8})])
def test_max_pairs_takes_the_sources_of_a_file_in_turn(exported, max_pairs, counts, no_ffmpeg):
    corpus = open_corpus(choice(exported, max_pairs=max_pairs), Reporter())
    assert {corpus.clip_sources.count(source) for source in corpus.sources} == counts
    assert len(corpus.sources) == 9
    assert len(corpus.table(("Sand",)).clips) == corpus.clip_sources.count("Sand")


def test_a_smoke_of_a_file_has_only_zeros(exported, no_ffmpeg):
    table = open_corpus(choice(exported), Reporter(), smoke=True).table(())
    assert not table.x_NF.any() and not table.y_N.any()


@pytest.mark.parametrize("options", [{"frames": "0:4"}, {"assume_dims": "64x64"}])
def test_options_of_clips_are_refused_for_a_file(options, exported):
    with pytest.raises(InputError, match="leave frames and assume_dims out"):
        open_corpus(choice(exported, **options), Reporter())


def test_a_file_is_refused_where_clips_are_needed(exported, ffmpeg):
    with pytest.raises(InputError, match="holds frame scores and no clips"):
        open_pairs(choice(exported), ffmpeg, Reporter())


# Clips.


def test_the_table_of_some_sources_holds_only_their_clips(tmp_path):
    corpus = write_corpus(tmp_path / "corpus", rungs=1)
    opened = open_corpus(choice(corpus, assume_dims="64x64"), Reporter(), ADM_DETAILS[:1])
    table = opened.table(("Beta",))
    assert (opened.sources, table.clips) == (["Alpha", "Beta"], ("Beta_10_64_100",))
    assert table.features == (*CANONICAL.features, ADM_DETAILS[0])
    # Nothing of Alpha was scored.
    assert [path.parent.name for path in cache_root().rglob("*.json")] == ["Beta"]


def test_dims_other_than_its_own_are_refused_for_the_demo(ffmpeg):
    with pytest.raises(
        InputError, match="the demo corpus is 320x180 yuv420p; leave assume_dims and"
    ):
        open_pairs(CorpusChoice(assume_dims="64x64"), ffmpeg, Reporter())


def test_a_smoke_of_the_demo_takes_a_range_of_its_frames():
    opened = open_corpus(CorpusChoice(frames="2:5", max_pairs=9), Reporter(), smoke=True)
    table = opened.table(())
    assert (len(table.clips), len(table), table.x_NF.any()) == (9, 27, False)
    with pytest.raises(InputError, match="48 frames, so frames 0:49 are not all there"):
        open_corpus(CorpusChoice(frames="0:49"), Reporter(), smoke=True)
