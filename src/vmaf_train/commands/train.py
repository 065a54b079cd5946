"""`train`: fit a student with one source held out, judge it on that source, log all to MLflow."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vmaf_train.errors import InputError
from vmaf_train.extraction.cache import cache_root
from vmaf_train.features import find_feature_set
from vmaf_train.frames.archive import HELD_OUT, pack
from vmaf_train.frames.choice import AUTO, CorpusChoice
from vmaf_train.frames.opening import open_corpus, teacher_of
from vmaf_train.frames.opinions import check_learnable
from vmaf_train.frames.splits import choose_hold_out
from vmaf_train.judging.figures import evaluation_figures, training_figure
from vmaf_train.judging.holdout import HeldOut, fit_and_judge
from vmaf_train.judging.report import REPORT, EvalReport
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.reporting import Epoch, Reporter
from vmaf_train.shipping.libvmaf_model import SUFFIX, libvmaf_model_of, runs_in_libvmaf
from vmaf_train.students.architectures import check_learns, find_architecture
from vmaf_train.students.loops import find_loop
from vmaf_train.students.settings import PLAIN, TEACHER, Settings
from vmaf_train.tracking.kept import keeping
from vmaf_train.tracking.links import Links, links_to
from vmaf_train.tracking.run import EXAMPLE_ROWS, Run, tracked

# Folder of the cache for results that MLflow does not have yet.
UNSENT = "_unsent"


@dataclass(frozen=True, eq=False)
class Trained:
    """A training: the report on the held-out source, the student's file, links to the run."""

    report: EvalReport
    student: OnnxStudent
    links: Links


def train(
    choice: CorpusChoice,
    arch: str,
    settings: Settings,
    reporter: Reporter,
    *,
    val_source: str = AUTO,
    trainer: str = PLAIN,
) -> Trained:
    """Fit a student with one source held out, judge it on that source, log all to MLflow.

    With 0 epochs this is a smoke run: libvmaf does not run, features and scores are zeros, and the
    initial weights are exported.

    Args:
        choice: the corpus.
        arch: name of the architecture.
        settings: settings of the fit.
        reporter: follows the work.
        val_source: the source to hold out; "auto" is Tennis, or else the last by name.
        trainer: "plain" or "lightning", which take the same steps; "lightning" needs the extra of
            that name.

    Raises:
        InputError: the arch, the corpus, the val_source, the trainer, the ffmpeg or the cache
            folder is not usable.
    """
    with tracked(arch) as run:
        return train_in(
            run, choice, arch, settings, reporter, val_source=val_source, trainer=trainer
        )


def train_in(
    run: Run,
    choice: CorpusChoice,
    arch: str,
    settings: Settings,
    reporter: Reporter,
    *,
    val_source: str = AUTO,
    trainer: str = PLAIN,
) -> Trained:
    """Do the same as `train`, within a run that exists."""
    teacher = teacher_of(choice)
    features = find_feature_set(settings.features, teacher.features).features
    architecture = find_architecture(arch, features, teacher)
    make_loop = find_loop(trainer, architecture)
    if settings.targets != TEACHER:
        check_learns(architecture, settings.targets)
    smoke = not settings.epochs
    corpus = open_corpus(choice, reporter, features, smoke=smoke)
    hold_out = choose_hold_out(corpus.sources, val_source)
    reporter.say(
        f"hold-out: {hold_out} "
        f"({'as asked' if val_source == hold_out else 'chosen: val_source is auto'})"
    )
    if smoke:
        reporter.say(
            "smoke run: zeros for features and scores, initial weights; "
            "the metrics say nothing about quality"
        )

    run.start(arch)
    run.log_settings(
        {"arch": arch, "corpus": choice.corpus, "val_source": val_source, "trainer": trainer}
        | asdict(settings)
        | {"assume_dims": choice.assume_dims, "max_pairs": choice.max_pairs, "hold_out": hold_out}
    )

    def on_epoch(epoch: Epoch) -> None:
        reporter.epoch(epoch, settings.epochs)
        metrics = {"train/loss": epoch.train_loss, "epoch/val_rmse": epoch.val_rmse}
        run.log_metrics(metrics, step=epoch.number)

    table = corpus.table(())
    if settings.targets != TEACHER:
        check_learnable(table, [hold_out])
    held_out = fit_and_judge(
        arch,
        table,
        settings,
        hold_out=hold_out,
        corpus=choice.name,
        libvmaf_version=corpus.libvmaf_version,
        scores=corpus.scores,
        on_epoch=on_epoch,
        loop=make_loop(*run.address),
    )
    files, results = files_of(held_out, reporter), results_of(held_out, run, table.digest)
    with keeping(run, cache_root() / UNSENT, results, files):
        log_training(run, held_out, corpus=choice.name, results=results, files=files)
    return Trained(held_out.report, held_out.student, links_to(run.run_id))


def files_of(done: HeldOut, reporter: Reporter) -> dict[str, bytes]:
    """Return the files that a training logs, by name; say which cannot be made."""
    files = {
        f"{done.arch}.onnx": done.student.content,
        REPORT: done.report.model_dump_json(indent=2).encode(),
        HELD_OUT: pack(done.validation, done.score_N),
    }
    if runs_in_libvmaf(done.student):
        # A student of odd data must not be lost because libvmaf cannot run it.
        try:
            files[f"{done.arch}{SUFFIX}"] = libvmaf_model_of(done.student, done.arch).content
        except InputError as error:
            reporter.say(f"warning: no model file for libvmaf: {error}")
    return files


def results_of(done: HeldOut, run: Run, dataset_digest: str) -> dict[str, Any]:
    """Return what a training logs besides files and datasets; see `tracking.kept.KeptRun`."""
    smoke = str(done.smoke).lower()
    return {
        "arch": done.arch,
        # A smoke run has another prefix, so that no list of runs ranks it among real ones.
        "metrics": done.report.metrics("smoke" if done.smoke else "val"),
        "tags": {
            **run.code_tags,
            **done.report.tags,
            "dataset_digest": dataset_digest,
            "smoke": smoke,
        },
        "rows": done.validation.select(done.student.features).x_NF[:EXAMPLE_ROWS].tolist(),
    }


def log_training(
    run: Run,
    done: HeldOut,
    *,
    corpus: str,
    results: Mapping[str, Any],
    files: Mapping[str, bytes],
) -> None:
    """Log the results of a training: datasets, metrics, tags, files, figures and the model."""
    run.log_dataset(done.train, corpus, "training")
    run.log_dataset(done.validation, corpus, "validation")
    run.log_metrics(results["metrics"])
    run.log_tags(results["tags"])
    run.log_files(files)
    run.log_files(evaluation_figures(done.report, done.score_N, done.validation.y_N))
    run.log_files(training_figure(done.history, done.validation.sources[0]))
    run.log_model(done.student, np.array(results["rows"]))
    run.flush()
