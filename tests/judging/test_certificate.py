"""The bound on the error over the box: it holds, it is close, and it follows the clip."""

from pathlib import Path

import numpy as np
import pytest

from vmaf_train.judging.certificate import prove, worst_found
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.onnx_file.polynomial import unclipped
from vmaf_train.teacher.points import cover, grid_of, uniform
from vmaf_train.teacher.teachers import DEFAULT_TEACHER, TEACHERS, find_teacher

EXACT = Path(__file__).parents[2] / "model/tiny/vmaf_tiny_exact.onnx"
V1 = "vmaf_v1.0.16_3d0h"


def linear(teacher, features):
    """Return a plane through the teacher's middle: a poor student of degree 1."""
    box = teacher.box_of(features)
    middle = box.at(np.full((1, len(features)), 0.5))
    slope = np.linspace(5, 25, len(features)) / (box.highest_F - box.lowest_F)
    score = teacher.score(middle, features, clip=False)
    return lambda x_NF: score + (x_NF - middle) @ slope


def points_of(teacher):
    draw, box = np.random.default_rng(3), teacher.box_of(teacher.features)
    ends = box.at(grid_of(len(teacher.features)))
    drawn = [uniform(5000, box, draw), cover((5000,), box, draw), ends]
    return teacher.correct(np.concatenate(drawn), teacher.features)


@pytest.mark.parametrize("name", [name for name in TEACHERS if "hfr" not in name])
def test_no_point_of_the_box_has_an_error_above_the_bound_and_the_bound_is_close(name):
    teacher = find_teacher(name)
    student = linear(teacher, teacher.features)
    x_NF = points_of(teacher)
    low, high = teacher.score_range
    off_N = np.abs(student(x_NF).clip(low, high) - teacher.score(x_NF, teacher.features))
    found = worst_found(
        lambda x_NF: student(teacher.correct(x_NF, teacher.features)).clip(low, high),
        lambda x_NF: teacher.score(x_NF, teacher.features),
        teacher.box_of(teacher.features),
        x_NF,
    )
    bound = prove(student, 1, teacher, teacher.features, found).bound
    assert off_N.max() <= found <= bound < 1.06 * found


def test_the_shipped_polynomial_is_worst_in_a_corner_that_random_points_miss():
    student = OnnxStudent(EXACT.read_bytes(), "exact")
    box = DEFAULT_TEACHER.box_of(student.features)
    drawn = uniform(5000, box, np.random.default_rng(0))
    found = worst_found(
        student.score, lambda x_NF: DEFAULT_TEACHER.score(x_NF, student.features), box, drawn
    )
    off_N = np.abs(student.score(drawn) - DEFAULT_TEACHER.score(drawn, student.features))
    assert found > 1.1 * off_N.max()
    proven = prove(unclipped(student.content), 5, DEFAULT_TEACHER, student.features, found)
    assert found <= proven.bound <= 1.2 * found and proven.remainder < 1e-3


def test_a_planted_error_in_one_corner_is_found_and_bounded():
    teacher = find_teacher(V1)
    plain = linear(teacher, teacher.features)
    box = teacher.box_of(teacher.features)

    def planted(x_NF):
        share = (x_NF - box.lowest_F) / (box.highest_F - box.lowest_F)
        # 80 points in one corner, and less than 5 where half of the way is left.
        return plain(x_NF) + 80 * share.prod(1)

    def bound_of(student):
        return prove(student, 4, teacher, teacher.features, 1e-9).bound

    corner = box.highest_F[None]
    off = abs(planted(corner).clip(0, 100) - teacher.score(corner, teacher.features))[0]
    assert bound_of(planted) >= off
    assert bound_of(planted) > bound_of(plain)
