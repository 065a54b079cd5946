"""The file with which stock libvmaf runs a student: `libvmaf=model=path=FILE` in ffmpeg.

Polynomials are converted exactly. The teacher's SVR is the teacher's own model file. libvmaf can
hold no other student.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from vmaf_train.errors import InputError
from vmaf_train.feature_names import parse_feature
from vmaf_train.features import EXAMPLE, known_set_of, set_of
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.onnx_file.libvmaf_json import read_json, to_bytes, write_json
from vmaf_train.onnx_file.polynomial import DEGREES, kernels_of, unclipped
from vmaf_train.teacher.points import Box
from vmaf_train.teacher.teachers import DEFAULT_TEACHER, Teacher, find_teacher

SUFFIX = ".libvmaf.json"
TEACHER_ARCH = "teacher_svr"
# Random vectors for the check, from the whole feature box, and as many near a real frame: within
# this share of each of its features.
CHECKED, NEAR = 1000, 0.1
# Largest difference between the file and the student in onnxruntime, in score points. Rounding to
# float32 stays below 1e-3.
SAME_SCORE = 0.01


@dataclass(frozen=True)
class LibvmafModel:
    """libvmaf's model file of a student.

    Attributes:
        content: the bytes of the file.
        degree: degree of the polynomial; None for the teacher's SVR.
        points: number of support vectors.
        max_error: largest difference between the file and the ONNX graph in float64, both without
            the clip, over random feature vectors, in score points. For the teacher's SVR it is the
            difference to onnxruntime, in float32.
    """

    content: bytes
    degree: int | None
    points: int
    max_error: float


def runs_in_libvmaf(student: OnnxStudent) -> bool:
    """Tell whether libvmaf can hold students of this arch."""
    return student.facts.get("arch") in (*DEGREES, TEACHER_ARCH)


def libvmaf_model_of(student: OnnxStudent, name: str) -> LibvmafModel:
    """Return the file with which libvmaf runs a student; the same student gives the same bytes.

    Args:
        student: the loaded ONNX file.
        name: its name, for errors.

    Raises:
        InputError: libvmaf cannot hold such students, or the file is not what its metadata says.
    """
    arch, features = student.facts.get("arch"), known_set_of(student.features, name)
    if not runs_in_libvmaf(student):
        fact = f"{arch} is no polynomial" if arch else "its metadata names no arch"
        raise InputError(
            f"{name}: {fact}, libvmaf cannot run it; "
            f"train --arch quintic --features {features.name} gives one that it can"
        )
    try:
        return _converted(student.content)
    except InputError as error:
        raise InputError(f"{name} cannot be converted: {error}") from error


@lru_cache(maxsize=8)
def _converted(content: bytes) -> LibvmafModel:
    """Convert the bytes of an ONNX file; register and sync ask for the same file several times."""
    student = OnnxStudent(content, "the student")
    teacher = find_teacher(str(student.facts.get("teacher", DEFAULT_TEACHER.name)))
    box = teacher.box_of(student.features)
    x_NF = _vectors(student.features, box)
    facts = {"arch": str(student.facts["arch"]), "onnx_sha256": student.sha256}
    if facts["arch"] == TEACHER_ARCH:
        return _teachers_own(student, teacher, x_NF, facts)

    features, degree = set_of(student.features), DEGREES[facts["arch"]]
    score = unclipped(content)
    correction = teacher.correction_in(student.features)
    written = write_json(
        kernels_of(score, degree, box.lowest_F, box.highest_F),
        features,
        facts,
        teacher.score_range,
        correction.parameter if correction else 0.0,
    )
    kernels = read_json(written)
    score_N = kernels.score(x_NF)
    _check_same(score_N.clip(*teacher.score_range), student, x_NF)
    error = float(np.abs(score_N - score(x_NF)).max())
    return LibvmafModel(written, degree, len(kernels.weights_P), error)


def _teachers_own(
    student: OnnxStudent, teacher: Teacher, x_NF: np.ndarray, facts: Mapping[str, str]
) -> LibvmafModel:
    """Return the teacher's own file, without the transform for phones, which is off by default."""
    score_N = teacher.score(x_NF, student.features)
    model = json.loads(teacher.model.path.read_bytes())["model_dict"]
    if not teacher.svr.transform:
        model.pop("score_transform", None)
    if any(feature.options for feature in teacher.model.features):
        model["feature_opts_dicts"] = [dict(each.options) for each in teacher.model.features]
    error = _check_same(score_N, student, x_NF)
    return LibvmafModel(to_bytes(model, facts), None, len(teacher.svr.weights_S), error)


def _check_same(score_N: np.ndarray, student: OnnxStudent, x_NF: np.ndarray) -> float:
    """Compare scores with those of the student in onnxruntime; return the largest difference.

    Raises:
        InputError: they are not the same scores.
    """
    difference = float(np.abs(score_N - student.score(x_NF)).max())
    # Not >, since NaN must be refused too.
    if not difference <= SAME_SCORE:
        arch = student.facts["arch"]
        raise InputError(f"its metadata says {arch}, but its scores are {difference:.2g} off that")
    return difference


def _vectors(features: Sequence[str], box: Box) -> np.ndarray:
    """Return random vectors of the feature box, then near a frame: float64 (rows, features)."""
    shares = np.random.default_rng(0).random((2, CHECKED, len(features)))
    example_F = np.array([EXAMPLE[parse_feature(name).stem] for name in features])
    near_NF = example_F * (1 + NEAR * (2 * shares[1] - 1))
    return np.concatenate([box.at(shares[0]), near_NF])
