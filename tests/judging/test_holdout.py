"""One training: a student fitted without one source, and judged on that source."""

import numpy as np
import pytest

from vmaf_train.judging.evaluation import score_table
from vmaf_train.judging.holdout import fit_and_judge
from vmaf_train.students.settings import Settings


@pytest.fixture(scope="module")
def table(make_table):
    return make_table()


def trained(table, settings):
    names = {"hold_out": "Beta", "corpus": "c", "libvmaf_version": "3.2.0"}
    return fit_and_judge("linear", table, settings, **names)


def test_the_report_is_of_the_exported_file_on_the_held_out_source(table):
    done = trained(table, Settings(teacher_points=0))
    assert (done.train.sources, done.validation.sources) == (("Alpha", "Gamma"), ("Beta",))
    assert (done.report.hold_out, tuple(done.report.per_source)) == ("Beta", ("Beta",))
    assert done.report.model.onnx_sha256 == done.student.sha256
    np.testing.assert_array_equal(done.score_N, score_table(done.student, done.validation))
    assert done.report.without_teacher_points is None


def test_the_file_states_how_it_was_trained(table):
    done = trained(table, Settings(teacher_points=64))
    wanted = {
        "teacher": "vmaf_v0.6.1",
        "hold_out": "Beta",
        "train_sources": ["Alpha", "Gamma"],
        "train_frames": 240,
        "train_digest": done.train.digest,
        "teacher_points": 64,
        "corpus": "c",
        "libvmaf_version": "3.2.0",
        "smoke": False,
    }
    assert wanted.items() <= done.student.facts.items()
    assert done.report.without_teacher_points is not None


def test_a_fit_without_epochs_is_a_smoke(table):
    done = trained(table, Settings(epochs=0))
    assert (done.smoke, done.student.facts["smoke"], done.history) == (True, True, ())
