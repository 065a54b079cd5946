"""Strata: which frames are chosen, alike in NumPy and in ffmpeg."""

import re
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmaf_train.extraction.strata import Strata


def selected(ffmpeg, strata, n_frames):
    """Return the numbers of the frames that ffmpeg's select filter keeps."""
    graph = f"color=size=16x16:rate=25,trim=end_frame={n_frames},{strata.select},showinfo"
    command = [ffmpeg.path, "-nostdin", "-v", "info", "-f", "lavfi", "-i", graph, "-f", "null", "-"]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return [int(pts) for pts in re.findall(r"n: +[0-9]+ pts: +([0-9]+)", report)]


@pytest.mark.parametrize("strata", [Strata((5,)), Strata((9,), seed=3), Strata((24, 8, 2), seed=7)])
def test_ffmpeg_selects_the_frames_that_numpy_names(strata, ffmpeg):
    assert selected(ffmpeg, strata, 1001) == strata.added(1001).tolist()


@given(st.integers(1, 400), st.integers(1, 3000), st.integers(0, 2**31 - 1))
def test_every_whole_stratum_has_one_chosen_frame(every, n_frames, seed):
    chosen = Strata((every,), seed).chosen(n_frames)
    whole = n_frames // every
    assert (chosen[:whole] // every).tolist() == list(range(whole))
    assert len(chosen) - whole in (0, 1)
    assert (chosen < n_frames).all()


@given(st.sampled_from([(12, 6), (12, 4), (24, 12, 3, 1), (30, 15, 5)]), st.integers(1, 900))
def test_a_refined_choice_keeps_every_frame_and_still_has_one_per_stratum(levels, n_frames):
    coarse, fine = Strata(levels[:-1], seed=1), Strata(levels, seed=1)
    assert coarse.refined(levels[-1]) == fine
    assert set(coarse.chosen(n_frames)) <= set(fine.chosen(n_frames))
    together = np.union1d(coarse.chosen(n_frames), fine.added(n_frames))
    assert together.tolist() == fine.chosen(n_frames).tolist()
    whole = n_frames // fine.every
    assert (fine.chosen(n_frames)[:whole] // fine.every).tolist() == list(range(whole))


def test_no_place_within_a_stratum_is_preferred_and_neighbours_are_unrelated():
    chosen = Strata((8,), seed=5).chosen(800_000)
    place = chosen % 8
    assert np.abs(np.bincount(place) / len(place) - 1 / 8).max() < 0.005
    assert abs(np.corrcoef(place[1:], place[:-1])[0, 1]) < 0.02


def test_another_seed_chooses_other_frames():
    assert Strata((5,), seed=0).chosen(100).tolist() != Strata((5,), seed=1).chosen(100).tolist()
