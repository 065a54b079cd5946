"""Fit one architecture for all folds and seeds; score each fold with students that never saw it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vmaf_train.frames.table import FrameTable
from vmaf_train.judging.comparison import CrossValidated
from vmaf_train.judging.evaluation import evaluate, pool, score_table
from vmaf_train.judging.holdout import opinion_facts
from vmaf_train.judging.opinions import judge_opinions
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.students.architectures import Student
from vmaf_train.students.export import export_student, to_onnx
from vmaf_train.students.settings import Job, Settings
from vmaf_train.students.training import fit_many


@dataclass(frozen=True)
class _Round:
    """One fit of every fold: with one seed, and with or without the teacher's points."""

    seed: int
    teacher_points: int

    def job(self, fold: str) -> Job:
        return Job((fold,), self.seed, self.teacher_points)


def cross_validate(
    arch: str,
    table: FrameTable,
    judged: FrameTable,
    settings: Settings,
    *,
    seeds: int,
    corpus: str,
    libvmaf_version: str,
    scores: str | None = None,
) -> CrossValidated:
    """Fit and score an architecture.

    The student that is kept is fitted on all sources; if only some are folds, on all the others.

    Args:
        arch: name of the architecture.
        table: frames of every source.
        judged: frames of the folds, the sources that are held out in turn: all, or some.
        settings: settings of every fit. With teacher's points, each fold is fitted once more
            without them.
        seeds: fits per fold; their seeds count up from that of the settings.
        corpus: name of the corpus, for the report and the kept file.
        libvmaf_version: version of the libvmaf that extracted the features.
        scores: name of the list of opinion scores; None if no clip has one.

    Raises:
        InputError: a fit diverged.
        VmafTrainError: a file breaks the contract, or gives other scores than its torch model.
    """
    points = settings.teacher_points
    rounds = [_Round(settings.seed + number, points) for number in range(seeds)]
    without_points = _Round(settings.seed, 0)
    unseen_by_kept = () if judged.sources == table.sources else judged.sources
    kept_job = Job(unseen_by_kept, settings.seed, points)

    jobs = [each.job(fold) for each in (*rounds, without_points) for fold in judged.sources]
    students = fit_many(arch, table, [*jobs, kept_job], settings)

    seen = table.only(set(table.sources) - set(unseen_by_kept))
    facts = _facts(seen, settings, corpus, libvmaf_version)
    facts |= opinion_facts(seen, settings, scores)
    kept = export_student(students[kept_job], facts, table)
    report, _ = evaluate(kept, judged, name=arch, corpus=corpus, libvmaf_version=libvmaf_version)
    score_SN = np.stack([_out_of_fold(students, each, judged) for each in rounds])
    opinions = None
    if scores:
        opinions = judge_opinions(judged, pool(score_SN[0], judged), scores=scores, unseen=True)
    return CrossValidated(
        score_SN=score_SN,
        targets=settings.targets,
        opinions=opinions,
        without_N=_out_of_fold(students, without_points, judged) if points else None,
        student=kept,
        report=report,
        trained=students[kept_job].architecture.trained,
    )


def _facts(
    seen: FrameTable, settings: Settings, corpus: str, libvmaf_version: str
) -> dict[str, object]:
    """Return the metadata of the kept file that says how it was trained."""
    return {
        "train_sources": seen.sources,
        "train_frames": len(seen),
        "train_digest": seen.digest,
        "teacher_points": settings.teacher_points,
        "smoke": False,
        "teacher": seen.teacher.name,
        "corpus": corpus,
        "libvmaf_version": libvmaf_version,
    }


def _out_of_fold(students: Mapping[Job, Student], round_: _Round, judged: FrameTable) -> np.ndarray:
    """Score each fold with the student that did not see it: float64 of shape (frames,)."""
    score_N = np.empty(len(judged))
    for fold in judged.sources:
        student = students[round_.job(fold)]
        exported = OnnxStudent(to_onnx(student, {}), student.architecture.name)
        score_N[judged.is_of(fold)] = score_table(exported, judged.only({fold}))
    return score_N
