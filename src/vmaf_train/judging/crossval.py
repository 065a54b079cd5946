"""Fit one architecture for every fold and seed at once; score each fold with unseen students."""

import numpy as np

from vmaf_train.frames.table import FrameTable
from vmaf_train.judging.comparison import CrossValidated
from vmaf_train.judging.evaluation import evaluate, score_table
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.students.export import export_student, to_onnx
from vmaf_train.students.settings import Job, Settings
from vmaf_train.students.training import fit_many


def cross_validate(
    arch: str,
    table: FrameTable,
    judged: FrameTable,
    settings: Settings,
    *,
    seeds: int,
    corpus: str,
    libvmaf_version: str,
) -> CrossValidated:
    """Fit and score an architecture.

    The student that is kept is fitted on all sources; if only some are folds, on all but these.

    Args:
        arch: name of the architecture.
        table: every source.
        judged: the sources that are held out in turn: all of `table`, or some.
        settings: of every fit. With teacher's points each fold is fitted once more without them.
        seeds: fits per fold, with the settings' own seed and those that follow.
        corpus: its name, for the report and the kept file.
        libvmaf_version: that extracted the features.

    Raises:
        InputError: a fit diverged.
        VmafTrainError: a file breaks the contract, or does not give its torch model's scores.
    """
    folds, points = judged.sources, settings.teacher_points
    kept_out = () if folds == table.sources else folds

    def job(hold_out: tuple[str, ...], seed: int, points: int = points) -> Job:
        return Job(hold_out, settings.seed + seed, points)

    jobs = [job((fold,), seed) for seed in range(seeds) for fold in folds]
    jobs += [job((fold,), 0, points=0) for fold in folds]
    jobs += [job(kept_out, 0)]
    students = fit_many(arch, table, jobs, settings)

    def out_of_fold(seed: int, points: int = points) -> np.ndarray:
        score_N = np.empty(len(judged))
        for fold in folds:
            fitted = students[job((fold,), seed, points)]
            exported = OnnxStudent(to_onnx(fitted, {}), arch)
            score_N[judged.is_of(fold)] = score_table(exported, judged.only({fold}))
        return score_N

    fitted = students[job(kept_out, 0)]
    seen = table.only(set(table.sources) - set(kept_out))
    facts = {
        "train_sources": seen.sources,
        "train_frames": len(seen),
        "train_digest": seen.digest,
        "teacher_points": points,
        "smoke": False,
        "teacher": table.teacher.name,
        "corpus": corpus,
        "libvmaf_version": libvmaf_version,
    }
    kept = export_student(fitted, facts, table)
    report, _ = evaluate(kept, judged, name=arch, corpus=corpus, libvmaf_version=libvmaf_version)
    return CrossValidated(
        score_SN=np.stack([out_of_fold(seed) for seed in range(seeds)]),
        without_N=out_of_fold(0, points=0) if points else None,
        student=kept,
        report=report,
        trained=fitted.architecture.trained,
    )
