"""A candidate: the facts of a run, and refused runs."""

import mlflow
import pytest
from mlflow_runs import all_runs

from vmaf_train.errors import InputError
from vmaf_train.judging.evaluation import score_table
from vmaf_train.shipping.candidate import find_candidate
from vmaf_train.shipping.in_tree import SHIPPED


def test_a_candidate_holds_the_student_the_report_and_the_held_out_frames(ids):
    candidate = find_candidate(ids["small"])
    assert (candidate.run_id, candidate.status) == (ids["small"], "FINISHED")
    assert candidate.student.sha256 == candidate.report.model.onnx_sha256
    assert candidate.held_out.digest == candidate.report.dataset.digest
    assert score_table(candidate.student, candidate.held_out).tolist() == candidate.score_N.tolist()
    assert (candidate.feature_set, candidate.place) == ("canonical", SHIPPED[0])


def test_an_arch_that_is_never_shipped_has_no_place(ids):
    assert find_candidate(ids["linear"]).place is None


@pytest.mark.parametrize("run_id", ["", "abc", "../../etc", "G" * 32])
def test_a_malformed_run_id_is_refused_before_mlflow_is_asked(run_id):
    with pytest.raises(InputError, match="is not a run id; pass the 32 hex digits"):
        find_candidate(run_id)


def test_a_run_without_a_model_is_refused(store):
    with mlflow.start_run():
        pass
    (run,) = all_runs()
    with pytest.raises(InputError, match="logged 0 models, not one; pass the id of a training run"):
        find_candidate(run.info.run_id)
