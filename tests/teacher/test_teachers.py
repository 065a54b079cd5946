"""The table of teachers: each row against libvmaf and against its model file."""

import json

import numpy as np
import pytest
from conftest import write_corpus

from vmaf_train.clips.layouts import scan
from vmaf_train.clips.video import YuvFormat
from vmaf_train.errors import InputError
from vmaf_train.extraction.libvmaf import Ffmpeg
from vmaf_train.extraction.schedule import Pass
from vmaf_train.features import least_sides
from vmaf_train.teacher.model_file import packaged_model
from vmaf_train.teacher.teachers import DEFAULT_TEACHER, TEACHERS, find_teacher

V1 = "vmaf_v1.0.16_3d0h"


def passed(teacher, ffmpeg, folder, dims=(576, 324)):
    """Return the scores of a pass over one pair of noisy pictures."""
    (pair, *_) = scan(write_corpus(folder, dims=dims), YuvFormat(*dims)).pairs
    return Ffmpeg(ffmpeg.path, [teacher]).extract(Pass((pair,), teachers=(teacher.name,)))[0]


@pytest.mark.parametrize("name", TEACHERS)
def test_a_teacher_scores_logged_features_as_libvmaf_scored_the_frames(name, ffmpeg, tmp_path):
    teacher = find_teacher(name)
    scores = passed(teacher, ffmpeg, tmp_path / "c")
    assert set(teacher.features) <= set(scores.features) <= set(teacher.logged)
    again_N = teacher.score(scores.x_NF, scores.features)
    assert np.abs(again_N - scores.scores[name]).max() < 3e-4
    box = teacher.box_of(teacher.features)
    x_NF = teacher.correct(scores.x_NF[:, : len(teacher.features)], teacher.features)
    assert (x_NF >= box.lowest_F).all() and (x_NF <= box.highest_F).all()


@pytest.mark.parametrize("name", TEACHERS)
def test_a_teacher_reads_the_columns_and_has_the_range_of_its_model_file(name):
    teacher = find_teacher(name)
    assert teacher.name == name and find_teacher(name) is teacher
    assert sorted(teacher.svr.features) == sorted(teacher.features)
    assert teacher.svr.clip == teacher.score_range


def test_chroma_that_is_exactly_0_is_replaced_by_what_adm3_says():
    teacher = find_teacher(V1)
    x_NF = np.array([[0.0, 0.0, 0.9, 1.0], [0.0, 12.0, 0.9, 1.0], [0.0, 1e-6, 0.9, 1.0]])
    first, second, third = teacher.score(x_NF, teacher.features)
    assert first == pytest.approx(second, abs=1e-9)
    assert third > first + 5


def test_the_box_follows_the_options_of_the_model():
    box = find_teacher(V1).box_of(find_teacher(V1).features)
    assert box.lowest_F.tolist() == [0.0, 0.0, 0.5, 0.0]
    assert box.highest_F.tolist() == [17.0, 60.0, 1.0, 18.0]


def test_several_teachers_in_one_pass_score_as_each_alone(ffmpeg, tmp_path):
    names = ("vmaf_v0.6.1", "vmaf_v0.6.1neg", V1)
    teachers = [find_teacher(name) for name in names]
    (pair, *_) = scan(write_corpus(tmp_path / "c", dims=(576, 324)), YuvFormat(576, 324)).pairs
    (together,) = Ffmpeg(ffmpeg.path, teachers).extract(Pass((pair,), teachers=names))
    for teacher in teachers:
        (alone,) = Ffmpeg(ffmpeg.path, [teacher]).extract(Pass((pair,), teachers=(teacher.name,)))
        np.testing.assert_array_equal(together.scores[teacher.name], alone.scores[teacher.name])
        columns = [together.features.index(feature) for feature in alone.features]
        np.testing.assert_array_equal(together.x_NF[:, columns], alone.x_NF)


def test_a_model_file_of_ones_own_is_a_teacher(ffmpeg, tmp_path):
    content = json.loads(packaged_model(V1).read_text())
    content["model_dict"]["score_transform"] = {"enabled": True, "p0": 3.0, "p1": 0.9}
    (tmp_path / "mine.json").write_text(json.dumps(content))
    teacher = find_teacher(str(tmp_path / "mine.json"))
    assert teacher.name.startswith("mine-") and find_teacher(teacher.name) is teacher
    scores = passed(teacher, ffmpeg, tmp_path / "c")
    own_N = scores.scores[teacher.name]
    assert np.abs(teacher.score(scores.x_NF, scores.features) - own_N).max() < 3e-4
    plain_N = find_teacher(V1).score(scores.x_NF, scores.features)
    assert np.abs(plain_N - own_N).min() > 1


def test_pictures_that_libvmaf_would_crash_on_are_known_by_their_size():
    sides = {name: least_sides(find_teacher(name).features) for name in TEACHERS}
    assert sides["vmaf_v0.6.1"] == (1, 1)
    assert sides[V1] == (160, 216)
    assert sides["vmaf_v1.0.16_5d0h"] == (267, 267)
    assert sides["vmaf_v1.0.16_3d0h_2160"] == (320, 320)


def test_models_of_one_family_have_the_same_feature_sets():
    assert list(find_teacher("vmaf_v0.6.1neg").sets) == list(DEFAULT_TEACHER.sets)
    assert find_teacher("vmaf_v0.6.1neg").sets["lite"].extractors["vif"] == {
        "vif_enhn_gain_limit": 1.0,
        "vif_skip_scale0": True,
    }
    assert list(find_teacher(V1).sets) == ["canonical", "no_cambi", "no_speed", "adm_motion"]


def test_an_unknown_teacher_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"unknown teacher 'vmaf_v9'; .*: vmaf_v0\.6\.1"):
        find_teacher("vmaf_v9")
