"""`evaluate`: judge a logged or in-tree student on a corpus."""

from dataclasses import dataclass, replace

from vmaf_train.errors import InputError
from vmaf_train.features import set_of
from vmaf_train.frames.choice import ALL, AUTO, CorpusChoice
from vmaf_train.frames.opening import open_corpus, teacher_of
from vmaf_train.judging.evaluation import evaluate, targets_of
from vmaf_train.judging.figures import evaluation_figures
from vmaf_train.judging.report import REPORT, EvalReport
from vmaf_train.onnx_file.expected_error import expected_error_of
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.reporting import Reporter
from vmaf_train.shipping.finding import FOR_EVALUATE, find_student
from vmaf_train.teacher.teachers import DEFAULT_TEACHER
from vmaf_train.tracking.links import Links, links_to
from vmaf_train.tracking.run import Run, tracked

NO_INTERVAL = (
    "states no interval that this corpus can check, so expect has nothing to look at; "
    "train it again, or leave expect out"
)
ALL_SEEN = (
    "was trained on every source of this corpus, so expect has nothing to look at; "
    "choose a corpus of other sources, or leave expect out"
)


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
    targets: str = AUTO,
    expect: float | None = None,
) -> Evaluated:
    """Judge a student on one source of a corpus, or on all of them.

    Args:
        choice: the corpus.
        model: run id, models:/ or runs:/ URI, or path of an .onnx file.
        reporter: follows the work.
        val_source: one source, or "all".
        features: name of the feature set that the student must read; "auto" accepts every set.
        targets: what the student must have learnt; "auto" accepts everything.
        expect: share of the clips whose interval, as the student's file states it, must hold; None
            asks for none. The run is FINISHED and has the tag `expected` either way.

    Raises:
        InputError: the model or the corpus is not usable, the model reads other features, or one
            interval is expected to hold and there is none, or no unseen source to check it on.
    """
    with tracked("evaluate") as run:
        found = find_student(model, FOR_EVALUATE)
        reads = found.student.features
        if features != AUTO and set_of(reads).name != features:
            raise InputError(
                f"{found.name} reads {', '.join(reads)}, which is not {features}; "
                f"pass features={AUTO}"
            )
        if targets not in (AUTO, targets_of(found.student)):
            raise InputError(
                f"{found.name} learnt {targets_of(found.student)}, not {targets}; "
                f"pass targets={AUTO}"
            )
        if expect is not None and expected_error_of(found.student, found.name) is None:
            raise InputError(f"{found.name} {NO_INTERVAL}")
        done = evaluate_in(run, choice, found.student, found.name, reporter, val_source=val_source)
        tags = {"dataset_digest": done.report.dataset.digest, **done.report.tags}
        if expect is not None:
            tags["expected"] = "held" if holds(done.report, expect) else "not held"
        run.log_tags(tags)
        return done


def holds(report: EvalReport, expect: float) -> bool:
    """Tell whether the stated interval held for at least this share of the clips.

    Raises:
        InputError: the student states no interval about what the corpus tells, or saw all sources.
    """
    check = report.interval_check
    if check is None:
        raise InputError(f"{report.model.name} {NO_INTERVAL}")
    if not check.unseen:
        raise InputError(f"{report.model.name} {ALL_SEEN}")
    return check.coverage >= expect


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
    teacher = teacher_of(choice, str(student.facts.get("teacher", DEFAULT_TEACHER.name)))
    corpus = open_corpus(replace(choice, teachers=(teacher,)), reporter, student.features)
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
        scores=corpus.scores,
    )
    run.log_dataset(table, choice.name, "evaluation")
    run.log_metrics(report.metrics("eval"))
    run.log_files({REPORT: report.model_dump_json(indent=2).encode()}, folder)
    run.log_files(evaluation_figures(report, score_N, table.y_N), folder)
    return Evaluated(report, links_to(run.run_id))
