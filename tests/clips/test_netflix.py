"""The Netflix layout: names, pairs, and which folders are refused."""

from pathlib import Path

import pytest
from conftest import write_corpus
from hypothesis import given
from hypothesis import strategies as st

from vmaf_train.clips.layouts import scan
from vmaf_train.clips.netflix import DIS_NAME, REF_NAME
from vmaf_train.clips.pairs import parse_frames
from vmaf_train.clips.video import YuvFormat
from vmaf_train.errors import InputError

SMALL = YuvFormat(64, 64)


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,12}", fullmatch=True)


@given(NAMES, st.integers(1, 120), st.integers(0, 100), st.integers(1, 4320), st.integers(1, 99999))
def test_both_grammars_give_the_source_name(source, fps, quality, height, kbps):
    assert REF_NAME.fullmatch(f"{source}_{fps}fps.yuv")["source"] == source
    assert DIS_NAME.fullmatch(f"{source}_{quality}_{height}_{kbps}.yuv")["source"] == source


@pytest.mark.parametrize(
    "name",
    ["Alpha_10_32.yuv", "Alpha.yuv", "_10_32_50.yuv", "Alpha_a_32_50.yuv", "Al pha_1_2_3.yuv"],
)
def test_a_distorted_name_outside_the_grammar_does_not_match(name):
    assert DIS_NAME.fullmatch(name) is None


def test_pairs_are_sorted_and_frames_follow_from_the_file_size(tmp_path):
    found = scan(write_corpus(tmp_path / "c"), SMALL)
    assert [pair.clip for pair in found.pairs] == [
        f"{s}_{q}_64_{k}" for s in ("Alpha", "Beta") for q, k in ((10, 100), (20, 200))
    ]
    assert {(pair.n_frames, pair.ref.fps, pair.format) for pair in found.pairs} == {
        (6, 25.0, SMALL)
    }
    assert all(
        pair.ref.path.name == f"{pair.source}_25fps.yuv" and pair.dis.path.is_file()
        for pair in found.pairs
    )
    assert found.left_out == ()


def test_a_fractional_frame_rate_is_read(tmp_path):
    corpus = write_corpus(tmp_path / "c", sources=("Alpha",))
    (corpus / "ref" / "Alpha_25fps.yuv").rename(corpus / "ref" / "Alpha_29.97fps.yuv")
    assert {pair.ref.fps for pair in scan(corpus, SMALL).pairs} == {29.97}


def test_two_references_of_one_source_are_refused(tmp_path):
    corpus = write_corpus(tmp_path / "c")
    (corpus / "ref" / "Alpha_30fps.yuv").write_bytes(b"")
    with pytest.raises(
        InputError,
        match=r"Alpha_30fps\.yuv: a second reference of source Alpha next to Alpha_25fps\.yuv",
    ):
        scan(corpus, SMALL)


def test_an_empty_file_is_refused(tmp_path):
    corpus = write_corpus(tmp_path / "c")
    next((corpus / "dis").iterdir()).write_bytes(b"")
    with pytest.raises(InputError, match="0 bytes is not a whole number"):
        scan(corpus, SMALL)


@pytest.mark.parametrize(
    ("max_pairs", "counts"), [(2, (1, 1)), (3, (2, 1)), (0, (4, 4)), (99, (4, 4))]
)
def test_max_pairs_takes_the_sources_in_turn(max_pairs, counts, tmp_path):
    pairs = scan(write_corpus(tmp_path / "c", rungs=4), SMALL, max_pairs=max_pairs).pairs
    assert tuple(sum(pair.source == name for pair in pairs) for name in ("Alpha", "Beta")) == counts


def test_an_unknown_source_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(InputError, match=r"no pair of source Gamma; it has Alpha, Beta"):
        scan(write_corpus(tmp_path / "c"), SMALL, sources=("Alpha", "Gamma"))


def test_an_unused_reference_is_not_checked(tmp_path):
    corpus = write_corpus(tmp_path / "c")
    (corpus / "ref" / "Gamma_25fps.yuv").write_bytes(b"half a frame")
    assert len(scan(corpus, SMALL).pairs) == 4


def test_a_missing_folder_is_refused_with_the_layout(tmp_path):
    (tmp_path / "ref").mkdir()
    with pytest.raises(
        InputError,
        match=rf"no corpus folder {Path(tmp_path, 'dis')}; a corpus holds ref/<source>_<fps>fps",
    ):
        scan(tmp_path, SMALL)


def test_a_frame_range_must_lie_in_every_clip(tmp_path):
    corpus = write_corpus(tmp_path / "c")
    pairs = scan(corpus, SMALL, frames=parse_frames("2:6")).pairs
    assert {(pair.n_frames, pair.frames) for pair in pairs} == {(4, (2, 6))}
    with pytest.raises(
        InputError, match=r"Alpha_10_64_100\.yuv holds 6 frames, so frames 2:7 are not all there"
    ):
        scan(corpus, SMALL, frames=(2, 7))


def test_a_pair_keeps_name_size_and_mtime_of_its_files(tmp_path):
    (pair, *_) = scan(write_corpus(tmp_path / "c"), SMALL).pairs
    for path, stamp in ((video.path, video.stamp) for video in (pair.ref, pair.dis)):
        stat = path.stat()
        assert (stamp.name, stamp.size, stamp.mtime_ns) == (
            path.name,
            stat.st_size,
            stat.st_mtime_ns,
        )
