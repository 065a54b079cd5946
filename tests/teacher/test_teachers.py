"""The table of teachers: each row against libvmaf and against its model file."""

import numpy as np
import pytest
from conftest import write_corpus

from vmaf_train.clips.layouts import scan
from vmaf_train.clips.video import YuvFormat
from vmaf_train.errors import InputError
from vmaf_train.extraction.libvmaf import Ffmpeg
from vmaf_train.extraction.schedule import Pass
from vmaf_train.teacher.teachers import TEACHERS, find_teacher


@pytest.mark.parametrize("name", TEACHERS)
def test_a_teacher_scores_logged_features_as_libvmaf_scored_the_frames(name, ffmpeg, tmp_path):
    teacher = TEACHERS[name]
    pairs = scan(write_corpus(tmp_path / "c", dims=(160, 90)), YuvFormat(160, 90)).pairs
    for pair in pairs:
        (scores,) = Ffmpeg(ffmpeg.path, teacher).extract(Pass((pair,)))
        assert set(teacher.features) <= set(scores.features) <= set(teacher.logged)
        assert np.abs(teacher.score(scores.x_NF, scores.features) - scores.y_N).max() < 2e-4
        assert (scores.x_NF <= teacher.highest_of(scores.features)).all()


@pytest.mark.parametrize("name", TEACHERS)
def test_a_teacher_reads_the_columns_and_has_the_range_of_its_model_file(name):
    teacher = TEACHERS[name]
    assert teacher.name == name and find_teacher(name) is teacher
    assert sorted(teacher.svr.features) == sorted(teacher.features)
    assert teacher.svr.clip == teacher.score_range
    assert set(teacher.highest) == set(teacher.logged)


def test_an_unknown_teacher_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"unknown teacher 'vmaf_v9'; .*: vmaf_v0\.6\.1"):
        find_teacher("vmaf_v9")
