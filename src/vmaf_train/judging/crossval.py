"""Fit one architecture for every fold and seed at once, and score each fold with the files that never saw it."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from vmaf_train.frames.table import FrameTable
from vmaf_train.judging.comparison import CrossValidated
from vmaf_train.judging.evaluation import evaluate, score_table
from vmaf_train.onnx_file.contract import check_contract
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.students.settings import Job, Settings


def cross_validate(
    arch: str,
    table: FrameTable,
    judged: FrameTable,
    seeds: int,
    settings: Settings,
    facts: Mapping[str, object],
) -> CrossValidated:
    """Fit and score an architecture; the student that is kept is fitted on all sources, or on all but a lone choice.

    Args:
        arch: its name.
        table: every source.
        judged: the sources that are held out in turn: all of `table`, or some.
        seeds: fits a fold, of the settings' seed and those that follow.
        settings: of every fit; with teacher's points each fold is fitted once more without them.
        facts: what the kept student's file should know of itself.

    Raises:
        InputError: a fit diverged.
        VmafTrainError: a file does not keep the contract or its torch model's scores.
    """
    from vmaf_train.students.export import check_same_scores, to_onnx
    from vmaf_train.students.training import fit_many

    folds, points = judged.sources, settings.teacher_points
    kept_out = () if folds == table.sources else folds
    kept_job = Job(kept_out, settings.seed, points)
    # One round per seed, then one without the teacher's points.
    rounds = [Job((), settings.seed + number, points) for number in range(seeds)]
    rounds += [Job((), settings.seed, 0)] if points else []
    jobs = [replace(job, hold_out=(fold,)) for job in rounds for fold in folds]
    students = fit_many(arch, table, [*jobs, kept_job], settings)

    score_RN = np.empty((len(rounds), len(judged)))
    source_N = np.array(judged.clip_sources)[judged.clip_N]
    for score_N, job in zip(score_RN, rounds, strict=True):
        for fold in folds:
            student = students[replace(job, hold_out=(fold,))]
            exported = OnnxStudent(to_onnx(student, {}), arch)
            score_N[source_N == fold] = score_table(exported, judged.only({fold}))

    fitted = students[kept_job]
    seen = table.only(set(table.sources) - set(kept_out))
    known = {"train_sources": seen.sources, "train_frames": len(seen), "train_digest": seen.digest}
    known |= {"teacher_points": points, "smoke": False, **facts}
    kept = OnnxStudent(to_onnx(fitted, known), arch)
    check_contract(kept.content)
    check_same_scores(kept, fitted, table.select(fitted.features).x_NF)
    report, _ = evaluate(
        kept,
        judged,
        name=arch,
        corpus=str(facts["corpus"]),
        libvmaf_version=str(facts["libvmaf_version"]),
    )
    return CrossValidated(
        score_SN=score_RN[:seeds],
        without_N=score_RN[seeds] if points else None,
        student=kept,
        report=report,
        trained=fitted.architecture.trained,
    )
