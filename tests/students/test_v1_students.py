"""Students of VMAF v1: its correction of chroma in torch, in the ONNX file and in libvmaf."""

import dataclasses
import subprocess

import numpy as np
import pytest
import torch
from conftest import random_table

from vmaf_train.clips.video import Video
from vmaf_train.extraction.libvmaf import score_with
from vmaf_train.shipping.libvmaf_model import libvmaf_model_of
from vmaf_train.students.export import export_student
from vmaf_train.students.settings import Settings
from vmaf_train.students.training import fit
from vmaf_train.teacher.points import uniform
from vmaf_train.teacher.teachers import find_teacher

TEACHER = find_teacher("vmaf_v1.0.16_3d0h")
ARCHS = ["quartic", "mlp_small", "cnn1d", "teacher_svr"]


@pytest.fixture(scope="module")
def v1_table():
    """Random frames with v1's features; chroma is exactly 0 in every second one."""
    table = random_table(frames=40)
    x_NF = uniform(len(table), TEACHER.box_of(TEACHER.features), np.random.default_rng(5))
    x_NF[::2, 1] = 0
    y_N = TEACHER.score(x_NF, TEACHER.features)
    return dataclasses.replace(
        table, features=TEACHER.features, x_NF=x_NF, y_N=y_N, teacher=TEACHER
    )


def drawn(ffmpeg, folder, size):
    """Return a moving, coloured video and the same blurred."""
    videos = []
    for name, blur in (("ref", "null"), ("dis", "boxblur=4:2:4:2")):
        path = folder / f"{name}.y4m"
        graph = f"testsrc2=size={size}:rate=25,format=yuv420p,{blur}"
        command = [ffmpeg.path, "-v", "error", "-f", "lavfi", "-i", graph, "-frames:v", "4", path]
        subprocess.run(command, check=True)
        videos.append(Video(path))
    return videos


def trained(arch, table):
    train, val = table.only(["Alpha", "Beta"]), table.only(["Gamma"])
    student = fit(arch, train, val, Settings(epochs=2, teacher_points=2048)).student
    facts = {"teacher": TEACHER.name}
    return student, export_student(student, facts, table)


@pytest.mark.parametrize("arch", ARCHS)
def test_the_file_corrects_chroma_as_the_torch_model_does(arch, v1_table):
    student, exported = trained(arch, v1_table)
    x_NF = v1_table.x_NF[:40].astype(np.float32)
    x_NF[1::4, 1] = 1e-6
    with torch.inference_mode():
        expected_N = student(torch.from_numpy(x_NF)).numpy()
    np.testing.assert_allclose(exported.score(x_NF), expected_N, atol=2e-3)
    corrected = TEACHER.correct(x_NF.astype(np.float64), TEACHER.features)
    same_N = exported.score(corrected.astype(np.float32))
    np.testing.assert_allclose(exported.score(x_NF), same_N, atol=2e-3)


def test_a_quartic_follows_the_jump_that_no_smooth_student_could(v1_table):
    _, exported = trained("quartic", v1_table)
    x_NF = v1_table.x_NF
    off_N = np.abs(exported.score(x_NF) - v1_table.y_N)
    just_above = x_NF.copy()
    just_above[::2, 1] = 1e-5
    jump_N = np.abs(TEACHER.score(just_above, TEACHER.features) - v1_table.y_N)
    assert off_N.max() < 1 and jump_N.max() > 10


@pytest.mark.parametrize("arch", ["quartic", "teacher_svr"])
@pytest.mark.parametrize("dims", [(320, 180), (1280, 720)])
def test_libvmaf_scores_with_the_exported_model_as_the_onnx_file_does(
    arch, dims, v1_table, ffmpeg, tmp_path
):
    _, exported = trained(arch, v1_table)
    ref, dis = drawn(ffmpeg, tmp_path, "{}x{}".format(*dims))
    model = libvmaf_model_of(exported, "it")
    score_N = score_with(model.content, ref, dis, ffmpeg, threads=0)
    x_NF, _ = ffmpeg.features(ref, dis, TEACHER.sets["canonical"], threads=0)
    # Small pictures have no chroma, large ones do.
    assert (x_NF[:, 1] == 0).all() == (dims == (320, 180))
    np.testing.assert_allclose(score_N, exported.score(x_NF), atol=2e-3)


def test_a_set_without_cambi_is_trained_and_keeps_the_correction(v1_table):
    train, val = v1_table.only(["Alpha", "Beta"]), v1_table.only(["Gamma"])
    settings = Settings(epochs=1, teacher_points=256, features="no_cambi")
    student = fit("quadratic", train, val, settings).student
    features = TEACHER.sets["no_cambi"].features
    exported = export_student(student, {"teacher": TEACHER.name}, v1_table)
    x_NF = v1_table.select(features).x_NF
    corrected = TEACHER.correct(x_NF, features)
    assert not np.array_equal(corrected, x_NF)
    np.testing.assert_allclose(exported.score(x_NF), exported.score(corrected), atol=2e-3)
