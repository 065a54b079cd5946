"""`score --teacher`: the teacher itself scores videos and the logs of other passes."""

import json
import subprocess

import numpy as np
import pytest
from commandline import call
from conftest import write_corpus

from vmaf_train.clips.layouts import scan
from vmaf_train.clips.video import YuvFormat
from vmaf_train.extraction.libvmaf import find_ffmpeg
from vmaf_train.teacher.model_file import packaged_model

WIDTH, HEIGHT, FRAMES = 320, 180, 12
SIZE = ("--size", f"{WIDTH}x{HEIGHT}")
NEG, FOUR_K, V1 = "vmaf_v0.6.1neg", "vmaf_4k_v0.6.1", "vmaf_v1.0.16_3d0h"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teachers") / "c"
    write_corpus(folder, frames=FRAMES, dims=(WIDTH, HEIGHT))
    return scan(folder, YuvFormat(WIDTH, HEIGHT)).pairs[0]


@pytest.fixture(scope="module")
def log(pair, tmp_path_factory):
    """A log of stock ffmpeg with v0.6.1, as people have it, and what 4K and NEG say of the pair."""
    folder = tmp_path_factory.mktemp("logs")
    keys = {FOUR_K: "k", NEG: "neg", V1: "v1"}
    models = "|".join(rf"version={name}\:name={key}" for name, key in keys.items())
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{WIDTH}x{HEIGHT}", "-i"]
    inputs = [*raw, pair.dis.path, *raw, pair.ref.path]
    for name, wanted in (("old", "version=vmaf_v0.6.1"), ("all", models)):
        graph = f"libvmaf=model='{wanted}':log_fmt=json:log_path={name}.json"
        command = [find_ffmpeg().path, "-v", "error", *inputs, "-lavfi", graph, "-f", "null", "-"]
        subprocess.run(command, cwd=folder, check=True)
    return folder / "old.json"


def logged(log, name):
    """Return the scores of a teacher in the log of all."""
    frames = json.loads(log.with_name("all.json").read_text())["frames"]
    return [frame["metrics"][name] for frame in frames]


def scored(*words):
    done = call("score", *words, "--per-frame")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_an_old_log_is_scored_by_a_teacher_whose_features_it_holds(log):
    found = scored("--log", log, "--teacher", FOUR_K)
    np.testing.assert_allclose(found["scores"], logged(log, "k"), atol=3e-4)
    assert found["low"] == found["mean"] == found["high"]


def test_an_old_log_is_scored_by_a_model_file(log, tmp_path):
    path = tmp_path / "mine.json"
    path.write_bytes(packaged_model(FOUR_K).read_bytes())
    found = scored("--log", log, "--teacher", path)
    np.testing.assert_allclose(found["scores"], logged(log, "k"), atol=3e-4)


@pytest.mark.parametrize("teacher", [NEG, V1])
def test_a_log_without_a_teachers_features_is_refused_with_their_names(log, teacher):
    done = call("score", "--log", log, "--teacher", teacher)
    assert done.exit_code == 2
    said = " ".join(done.stderr.split())
    assert "old.json holds no adm" in said or "old.json holds no cambi" in said
    assert "egl_1" in said and "other features do not replace them" in said


@pytest.mark.parametrize(("teacher", "key"), [(NEG, "neg"), (FOUR_K, "k"), (V1, "v1")])
def test_a_teacher_scores_a_pair_as_libvmaf_does(pair, log, teacher, key):
    found = scored(pair.ref.path, pair.dis.path, *SIZE, "--teacher", teacher)
    np.testing.assert_allclose(found["scores"], logged(log, key), atol=3e-4)


def test_two_things_that_score_are_refused(pair):
    words = (pair.ref.path, pair.dis.path, *SIZE, "--teacher", NEG, "--model", "vmaf_tiny_lite")
    assert "pass one of the two" in " ".join(call("score", *words).stderr.split())


def test_pictures_that_are_too_small_for_a_teacher_are_refused_before_the_pass(tmp_path):
    small = scan(write_corpus(tmp_path / "c", frames=2, dims=(240, 136)), YuvFormat(240, 136))
    ref, dis = small.pairs[0].ref.path, small.pairs[0].dis.path
    done = call("score", ref, dis, "--size", "240x136", "--teacher", V1)
    assert done.exit_code == 2
    assert "240x136, and libvmaf needs 160 by 216 pixels" in " ".join(done.stderr.split())


def test_a_table_of_scores_tells_teachers_apart(pair, tmp_path):
    manifest, out = tmp_path / "pairs.csv", tmp_path / "scores.csv"
    manifest.write_text(f"ref,dis,size\n{pair.ref.path},{pair.dis.path},{WIDTH}x{HEIGHT}\n")
    for teacher in (NEG, FOUR_K, NEG):
        call("score", "--manifest", manifest, "--out", out, "--teacher", teacher)
    assert len(out.read_text().splitlines()) == 3
