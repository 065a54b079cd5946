"""`evaluate`: judge a logged or in-tree student on a corpus."""

from dataclasses import dataclass

from vmaf_train.errors import InputError
from vmaf_train.features import find_feature_set
from vmaf_train.frames.choice import ALL, AUTO, CorpusChoice
from vmaf_train.frames.opening import open_corpus
from vmaf_train.judging.evaluation import evaluate
from vmaf_train.judging.figures import evaluation_figures
from vmaf_train.judging.report import REPORT, EvalReport
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.reporting import Reporter
from vmaf_train.shipping.finding import FOR_EVALUATE, find_student
from vmaf_train.tracking.links import Links, links_to
from vmaf_train.tracking.run import Run, tracked


@dataclass(frozen=True)
class Evaluated:
    """An evaluation: the report, and links to its run."""

    report: EvalReport
    links: Links


def evaluate_model(
    choice: CorpusChoice,
    model: str,
    reporter: Reporter,
    *,
    val_source: str = ALL,
    features: str = AUTO,
) -> Evaluated:
    """Judge a student on one source of a corpus, or on all of them.

    Args:
        choice: the corpus.
        model: run id, models:/ or runs:/ URI, or path of an .onnx file.
        reporter: follows the work.
        val_source: one source, or "all".
        features: name of the feature set that the student must read; "auto" accepts every set.

    Raises:
        InputError: the model or the corpus is not usable, or the model reads other features.
    """
    with tracked("evaluate") as run:
        found = find_student(model, FOR_EVALUATE)
        reads = found.student.features
        if features != AUTO and find_feature_set(features).features != reads:
            raise InputError(
                f"{found.name} reads {', '.join(reads)}, which is not {features}; "
                f"pass features={AUTO}"
            )
        done = evaluate_in(run, choice, found.student, found.name, reporter, val_source=val_source)
        run.log_tags({"dataset_digest": done.report.dataset.digest, **done.report.tags})
        return done


def evaluate_in(
    run: Run,
    choice: CorpusChoice,
    student: OnnxStudent,
    name: str,
    reporter: Reporter,
    *,
    val_source: str = ALL,
    folder: str = "",
) -> Evaluated:
    """Judge a student within a run that exists.

    Args:
        run: the report, metrics and figures are logged to it.
        choice: the corpus.
        student: the ONNX file, loaded.
        name: name of the student, for people.
        reporter: follows the work.
        val_source: one source, or "all".
        folder: folder for the report and the figures among the run's artifacts.

    Raises:
        InputError: the corpus or the val_source is not usable.
    """
    corpus = open_corpus(choice, reporter, student.features)
    if val_source not in (ALL, *corpus.sources):
        raise InputError(
            f"val_source {val_source} is not in the corpus; "
            f"choose one of: {', '.join(corpus.sources)}, or {ALL}"
        )
    run.start(f"evaluate {name}")
    run.log_settings({"model": name, "corpus": choice.corpus, "val_source": val_source})

    whole = val_source == ALL
    table = corpus.table(() if whole else (val_source,))
    report, score_N = evaluate(
        student,
        table,
        name=name,
        corpus=choice.name,
        libvmaf_version=corpus.libvmaf_version,
        hold_out=None if whole else val_source,
    )
    run.log_dataset(table, choice.name, "evaluation")
    run.log_metrics(report.metrics("eval"))
    run.log_files({REPORT: report.model_dump_json(indent=2).encode()}, folder)
    run.log_files(evaluation_figures(report, score_N, table.y_N), folder)
    return Evaluated(report, links_to(run.run_id))
