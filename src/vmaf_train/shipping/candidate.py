"""A candidate for promotion: the student of a training run, with the evidence for the gates."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from mlflow.entities import Run

from vmaf_train.errors import InputError
from vmaf_train.features import set_of
from vmaf_train.frames.archive import HELD_OUT, unpack
from vmaf_train.frames.table import FrameTable
from vmaf_train.judging.evaluation import targets_of
from vmaf_train.judging.report import EvalReport
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.onnx_file.outside import student_from_outside
from vmaf_train.shipping.fetching import asking, download, download_onnx, report_of
from vmaf_train.shipping.finding import RUN_ID
from vmaf_train.shipping.in_tree import Promoted, ShippedModel, place_of
from vmaf_train.teacher.teachers import find_teacher


@dataclass(frozen=True, eq=False)
class Candidate:
    """The student of a run, with the evidence for the gates.

    Attributes:
        run_id: id of the training run.
        model_id: id of the MLflow model that the run logged.
        status: status of the run, as MLflow names it; "deleted" for a deleted run.
        tags: tags of the run.
        student: the logged ONNX file, loaded.
        report: the logged evaluation on the held-out source.
        held_out: the frames of the held-out source, with the teacher's scores.
        score_N: the student's scores of these frames in the report; float64 of shape (frames,).
        shipped: the student that the tree holds in the candidate's place; None if there is none.
    """

    run_id: str
    model_id: str
    status: str
    tags: Mapping[str, str]
    student: OnnxStudent
    report: EvalReport
    held_out: FrameTable
    score_N: np.ndarray
    shipped: Promoted | None = None

    @property
    def feature_set(self) -> str:
        """Name of its feature set."""
        return set_of(self.report.model.features).name

    @property
    def place(self) -> ShippedModel | None:
        """The place in model/tiny/ for such students; None if there is none."""
        report = self.report
        return place_of(report.model.arch, self.feature_set, report.teacher, self.targets)

    @property
    def targets(self) -> str:
        """What it learnt, as its file states it."""
        return targets_of(self.student)


def find_candidate(run_id: str) -> Candidate:
    """Download the student and the evidence that a training run logged.

    Raises:
        InputError: there is no such run, or it did not log one model, a report and held-out frames.
    """
    if not RUN_ID.fullmatch(run_id):
        raise InputError(
            f"run_id {run_id!r} is not a run id; pass the 32 hex digits that "
            "`vmaf-train train` prints"
        )
    with asking(f"run {run_id}") as client:
        run = client.get_run(run_id)
    model_id = _model_of(run)
    report = report_of(run_id)
    archive = download(f"runs:/{run_id}/{HELD_OUT}")
    held_out, score_N = unpack(archive, find_teacher(report.teacher))
    name = f"the model of run {run_id}"
    return Candidate(
        run_id=run_id,
        model_id=model_id,
        status=_status_of(run),
        tags=run.data.tags,
        student=student_from_outside(download_onnx(f"models:/{model_id}"), name),
        report=report,
        held_out=held_out,
        score_N=score_N,
    )


def _model_of(run: Run) -> str:
    outputs = run.outputs.model_outputs if run.outputs else []
    if len(outputs) != 1:
        raise InputError(
            f"run {run.info.run_id} logged {len(outputs)} models, not one; "
            "pass the id of a training run"
        )
    return str(outputs[0].model_id)


def _status_of(run: Run) -> str:
    # A deleted run keeps its status.
    deleted = run.info.lifecycle_stage != "active"
    return str(run.info.lifecycle_stage if deleted else run.info.status)
