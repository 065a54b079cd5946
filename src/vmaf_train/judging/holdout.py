"""Fit one student with one source held out, export it, and judge the file on that source."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vmaf_train.frames.splits import split
from vmaf_train.frames.table import FrameTable, rated_clips
from vmaf_train.judging.evaluation import evaluate, pool
from vmaf_train.judging.opinion_report import OpinionReport
from vmaf_train.judging.opinions import judge_opinions
from vmaf_train.judging.out_of_fold import Judged, judge_out_of_fold
from vmaf_train.judging.report import EvalReport
from vmaf_train.onnx_file.expected_error import KEY
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.reporting import Epoch
from vmaf_train.students.export import export_student, to_onnx
from vmaf_train.students.loops import Loop
from vmaf_train.students.settings import HYBRID, TEACHER, Settings
from vmaf_train.students.training import fit


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A student that was fitted with one source held out.

    Attributes:
        arch: name of its architecture.
        student: the ONNX file, loaded.
        report: evaluation on the held-out source.
        score_N: the student's frame scores of that source, float64 of shape (frames,).
        train, validation: the frames of all other sources, and those of the held-out source.
        history: state of the fit after each epoch.
        smoke: whether this was a smoke run: nothing was trained, and the report says nothing about
            quality.
    """

    arch: str
    student: OnnxStudent
    report: EvalReport
    score_N: np.ndarray
    train: FrameTable
    validation: FrameTable
    history: tuple[Epoch, ...]
    smoke: bool


def fit_and_judge(
    arch: str,
    table: FrameTable,
    settings: Settings,
    *,
    hold_out: str,
    corpus: str,
    libvmaf_version: str | None,
    scores: str | None = None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    loop: Loop | None = None,
) -> HeldOut:
    """Fit a student on every source except one, and judge its ONNX file on that one.

    Unless this is a smoke run, students of the other sources are fitted too, without one of these
    at a time. The file states the error that they show.

    Args:
        arch: name of the architecture.
        table: frames of every source.
        settings: settings of the fit; with 0 epochs this is a smoke run.
        hold_out: the source to hold out.
        corpus: name of the corpus, for the report and the file.
        libvmaf_version: version of the libvmaf that extracted the features; None for a smoke run.
        scores: name of the list of opinion scores; None if no clip has one.
        on_epoch: called with the state of the fit after each epoch.
        loop: runs the epochs; None is the plain loop.

    Raises:
        InputError: the fit diverged.
        VmafTrainError: the file breaks the contract, or gives other scores than the torch model.
    """
    train, validation = split(table, hold_out)
    fitted = fit(arch, train, validation, settings, on_epoch=on_epoch, loop=loop)
    facts = _facts(train, settings, hold_out, corpus, libvmaf_version)
    facts |= opinion_facts(train, settings, scores)
    out_of_fold: dict[str, object] = {}
    # A smoke run has trained nothing, so its errors say nothing.
    if settings.epochs:
        unstated = OnnxStudent(to_onnx(fitted.student, facts), arch)
        judged = judge_out_of_fold(unstated, arch, table, settings, hold_out=hold_out)
        facts[KEY] = judged.facts.model_dump(mode="json")
        out_of_fold = {"out_of_fold": judged.report, "opinions": _opinions_of(judged, scores)}
    student = export_student(fitted.student, facts, table)
    plain = fitted.without_points
    report, score_N = evaluate(
        student,
        validation,
        name=arch,
        corpus=corpus,
        libvmaf_version=libvmaf_version,
        hold_out=hold_out,
        without_points=OnnxStudent(to_onnx(plain, {}), arch) if plain else None,
    )
    judged_report = report.model_copy(update=out_of_fold)
    smoke = not settings.epochs
    return HeldOut(arch, student, judged_report, score_N, train, validation, fitted.history, smoke)


def _opinions_of(judged: Judged, scores: str | None) -> OpinionReport | None:
    """Judge all sources against opinion scores, each by a student that never saw it."""
    if scores is None:
        return None
    pooled_C = pool(judged.score_N, judged.table)
    return judge_opinions(judged.table, pooled_C, scores=scores, unseen=True)


def opinion_facts(train: FrameTable, settings: Settings, scores: str | None) -> dict[str, object]:
    """Return the metadata of the ONNX file that says what it learnt besides the teacher."""
    if settings.targets == TEACHER:
        return {}
    facts: dict[str, object] = {
        "targets": settings.targets,
        "opinion_scores": scores,
        "scored_clips": int(rated_clips(train).sum()),
    }
    return facts | ({"mos_weight": settings.mos_weight} if settings.targets == HYBRID else {})


def _facts(
    train: FrameTable,
    settings: Settings,
    hold_out: str,
    corpus: str,
    libvmaf_version: str | None,
) -> dict[str, object]:
    """Return the metadata of the ONNX file that says how it was trained."""
    return {
        "teacher": train.teacher.name,
        "hold_out": hold_out,
        "train_sources": train.sources,
        "corpus": corpus,
        "train_frames": len(train),
        "teacher_points": settings.teacher_points,
        "train_digest": train.digest,
        "libvmaf_version": libvmaf_version,
        "smoke": not settings.epochs,
    }
