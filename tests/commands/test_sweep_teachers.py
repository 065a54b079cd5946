"""A sweep over several teachers: one pass, one chart, a comparison per teacher."""

import json

import mlflow
import pytest
from conftest import write_corpus
from mlflow_runs import all_runs

from vmaf_train.commands.prewarm import prewarm
from vmaf_train.commands.sweep import sweep
from vmaf_train.errors import InputError
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.reporting import Reporter
from vmaf_train.students.settings import Settings
from vmaf_train.teacher.teachers import find_teacher

TEACHERS = ("vmaf_v0.6.1neg", "vmaf_v1.0.16_3d0h")
ARCHS = ("linear", "quadratic")
SHORT = Settings(teacher_points=256)


@pytest.fixture
def choice(tmp_path, store, monkeypatch):
    monkeypatch.setenv("VMAF_TINY_AI_CACHE", str(tmp_path / "cache"))
    folder = write_corpus(tmp_path / "c", ("Alpha", "Beta"), frames=6, dims=(320, 180))
    teachers = tuple(find_teacher(name) for name in TEACHERS)
    return CorpusChoice(corpus=str(folder), assume_dims="320x180", teachers=teachers)


def test_a_sweep_over_teachers_charts_them_together_and_compares_each_among_its_own(choice):
    done = sweep(choice, SHORT, Reporter(), archs=ARCHS, seeds=1)

    names = {f"{arch}-{teacher}": teacher for teacher in TEACHERS for arch in ARCHS}
    runs = {run.info.run_name: run for run in all_runs()}
    assert set(runs) == {"sweep", *names}
    assert len({run.data.tags["sweep"] for run in runs.values()}) == 1
    for name, teacher in names.items():
        assert runs[name].data.tags["teacher"] == teacher

    assert [{row.arch for row in each.rows} for each in done.comparisons] == [
        {f"{arch}-{teacher}" for arch in ARCHS} for teacher in TEACHERS
    ]
    for teacher, comparison in zip(TEACHERS, done.comparisons, strict=True):
        path = f"runs:/{runs['sweep'].info.run_id}/{teacher}/comparison.json"
        held = json.loads(mlflow.artifacts.load_text(path))
        assert held["recommendation"] == comparison.recommendation
    # The pass of the sweep served both teachers.
    assert prewarm(choice, Reporter()).extracted == 0


def test_a_feature_set_that_a_teacher_does_not_have_is_refused_before_any_run(choice):
    with pytest.raises(InputError, match="unknown features 'lite'; choose one of: canonical, no_"):
        sweep(choice, SHORT, Reporter(), archs=ARCHS, features=("lite",), seeds=1)
    assert [run.data.tags.get("sweep") for run in all_runs()] in ([], [None])
