"""The command line: parse, call a command, print its result, exit. Nothing else.

Each command imports its own module when it runs: `--help` and `score` start without torch and
MLflow. Exit codes: 0 done, 1 failed, 2 bad input, 3 a gate refused, 130 interrupted.
"""

import gc
import logging
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vmaf_train.errors import GateRefusedError, InputError, VmafTrainError
from vmaf_train.features import CANONICAL, FEATURE_SETS
from vmaf_train.frames.choice import ALL, AUTO, DEMO, CorpusChoice
from vmaf_train.students.settings import PLAIN, Settings
from vmaf_train.terminal import (
    TerminalReporter,
    err,
    print_comparison,
    print_gates,
    print_links,
    print_report,
    print_score,
    print_sources,
)

INTERRUPTED = 130
SECOND_SIGNAL_SECONDS = 2
# An option left out, where MLproject must pass some value.
NONE = "none"
DEFAULT_ARCH = "mlp_small"
DEFAULT_MODEL = "vmaf_tiny_exact"

app = typer.Typer(
    name="vmaf-train",
    help="Distil VMAF into tiny ONNX students, tracked in MLflow.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class YesNo(StrEnum):
    """A switch that MLproject can pass as a value."""

    yes = "yes"
    no = "no"


class Format(StrEnum):
    """How scores are printed."""

    json = "json"
    csv = "csv"


SETS = ", ".join(FEATURE_SETS)
Clips = Annotated[
    str, typer.Option(help=f"Folder in the Netflix layout, or {DEMO} for the embedded corpus.")
]
Corpus = Annotated[
    str,
    typer.Option(
        help="Folder in the Netflix layout, .parquet file of export-features, "
        f"or {DEMO} for the embedded corpus."
    ),
]
Dims = Annotated[
    str, typer.Option(help="WxH of every file; auto is 1920x1080, or the demo's own size.")
]
Jobs = Annotated[int, typer.Option(min=0, help="Cores to use; 0 is all.")]
Frames = Annotated[str, typer.Option(help="FIRST:END, the frames of every clip to use, or all.")]
MaxPairs = Annotated[
    int, typer.Option(min=0, help="Use at most this many pairs, sources in turn; 0 is all.")
]
Sources = Annotated[str, typer.Option(help="Comma-separated sources to keep, or all.")]
Strict = Annotated[
    YesNo, typer.Option(help="yes makes every file that is no usable pair an error.")
]
Arch = Annotated[
    str, typer.Option(help="Architecture: mlp_small, quartic, ...; a wrong name lists all of them.")
]
Epochs = Annotated[
    int,
    typer.Option(
        min=0,
        max=100_000,
        help="Passes over the training frames; 0 is a smoke test without libvmaf.",
    ),
]
SweepEpochs = Annotated[
    int, typer.Option(min=1, max=100_000, help="Passes over the training frames.")
]
BatchSize = Annotated[
    int, typer.Option(min=4, help="Rows per step: half frames, half teacher's points.")
]
LearningRate = Annotated[
    float,
    typer.Option(
        min=0, help="Longest Gauss-Newton step, or highest Adam rate; 0 is the solver's default."
    ),
]
Features = Annotated[str, typer.Option(help=f"Feature set that the student reads: {SETS}.")]
TeacherPoints = Annotated[
    int,
    typer.Option(
        min=0,
        max=10_000_000,
        help="Feature vectors labelled by the teacher to train on as well; 0 is none.",
    ),
]
Tree = Annotated[str, typer.Option(help="The checkout whose model/tiny/ is meant.")]
Seed = Annotated[
    int, typer.Option(min=0, max=2**63 - 1, help="Seed for initial weights and batch order.")
]


@app.command()
def prewarm(
    corpus: Clips = DEMO,
    jobs: Jobs = 0,
    scheduler: Annotated[
        str,
        typer.Option(help="Dask scheduler (an extra): tcp://HOST:PORT, local:N workers, or none."),
    ] = NONE,
    features: Annotated[
        str, typer.Option(help="Feature set that every clip must have; one pass fills all.")
    ] = CANONICAL.name,
    assume_dims: Dims = AUTO,
    sources: Sources = ALL,
    max_pairs: MaxPairs = 0,
    frames: Frames = ALL,
    strict: Strict = YesNo.no,
) -> None:
    """Fill the cache: libvmaf scores every pair that it does not hold yet."""
    with _exit_code():
        from vmaf_train.commands.prewarm import prewarm

        choice = CorpusChoice(
            corpus=corpus,
            assume_dims=assume_dims,
            sources=_names(sources, "sources"),
            max_pairs=max_pairs,
            strict=strict == YesNo.yes,
            frames=frames,
            jobs=jobs,
        )
        done = prewarm(choice, TerminalReporter(), scheduler=_given(scheduler), features=features)
        pairs = len(done.scan.pairs)
        print(
            f"{pairs} pairs, {done.frames} frames: {done.extracted} extracted, "
            f"{pairs - done.extracted} already there, {len(done.scan.left_out)} files left out, "
            f"{done.seconds:.2f} s; cache {done.cache}"
        )


@app.command()
def export_features(
    out: Annotated[Path, typer.Argument(help="The .parquet file to write.")],
    corpus: Clips = DEMO,
    jobs: Jobs = 0,
    assume_dims: Dims = AUTO,
    sources: Sources = ALL,
    max_pairs: MaxPairs = 0,
    frames: Frames = ALL,
    strict: Strict = YesNo.no,
) -> None:
    """Write the features and scores of a corpus to one file, to train from it without pixels."""
    with _exit_code():
        from vmaf_train.commands.export_features import export_features

        choice = CorpusChoice(
            corpus=corpus,
            assume_dims=assume_dims,
            sources=_names(sources, "sources"),
            max_pairs=max_pairs,
            strict=strict == YesNo.yes,
            frames=frames,
            jobs=jobs,
        )
        table = export_features(choice, out, TerminalReporter())
        print(f"{len(table)} frames of {len(table.clips)} clips, digest {table.digest}, in {out}")
        print(f"train from it: vmaf-train train --corpus {out}")


@app.command()
def train(
    arch: Arch = DEFAULT_ARCH,
    corpus: Corpus = DEMO,
    val_source: Annotated[
        str, typer.Option(help="Held-out source; auto is Tennis, else the last by name.")
    ] = AUTO,
    epochs: Epochs = Settings.epochs,
    batch_size: BatchSize = Settings.batch_size,
    lr: LearningRate = Settings.lr,
    seed: Seed = Settings.seed,
    teacher_points: TeacherPoints = Settings.teacher_points,
    features: Features = Settings.features,
    trainer: Annotated[
        str, typer.Option(help="plain, or lightning (an extra): the same steps run by Lightning.")
    ] = PLAIN,
    assume_dims: Dims = AUTO,
    max_pairs: MaxPairs = 0,
    frames: Frames = ALL,
    strict: Strict = YesNo.no,
) -> None:
    """Fit a student with one source held out, judge it on that one, and log all of it to MLflow."""
    with _exit_code():
        from vmaf_train.commands.train import train

        done = train(
            _choice(corpus, assume_dims, max_pairs, strict, frames),
            arch,
            Settings(
                epochs=epochs,
                batch_size=batch_size,
                lr=lr,
                seed=seed,
                teacher_points=teacher_points,
                features=features,
            ),
            TerminalReporter(),
            val_source=val_source,
            trainer=trainer,
        )
        print_report(done.report, f"{arch} on the held-out source {done.report.hold_out}")
        print_links(done.links)
        print(f"judge it elsewhere: vmaf-train evaluate --model {done.links.run_id}")


@app.command()
def sweep(
    archs: Annotated[str, typer.Option(help="Comma-separated architectures, or all.")] = ALL,
    folds: Annotated[
        str, typer.Option(help="Comma-separated sources to hold out in turn, or all.")
    ] = ALL,
    seeds: Annotated[
        int, typer.Option(min=1, max=1000, help="Fits per fold and architecture.")
    ] = 5,
    corpus: Corpus = DEMO,
    epochs: SweepEpochs = Settings.epochs,
    batch_size: BatchSize = Settings.batch_size,
    lr: LearningRate = Settings.lr,
    seed: Seed = Settings.seed,
    teacher_points: TeacherPoints = Settings.teacher_points,
    features: Annotated[
        str, typer.Option(help=f"Comma-separated feature sets ({SETS}), or all.")
    ] = CANONICAL.name,
    assume_dims: Dims = AUTO,
    max_pairs: MaxPairs = 0,
    frames: Frames = ALL,
    strict: Strict = YesNo.no,
) -> None:
    """Compare architectures by leave-one-source-out over several seeds; log one run for each."""
    with _exit_code():
        from vmaf_train.commands.sweep import sweep

        done = sweep(
            _choice(corpus, assume_dims, max_pairs, strict, frames),
            Settings(
                epochs=epochs,
                batch_size=batch_size,
                lr=lr,
                seed=seed,
                teacher_points=teacher_points,
            ),
            TerminalReporter(),
            archs=_names(archs, "archs"),
            folds=_names(folds, "folds"),
            seeds=seeds,
            features=_names(features, "features") or tuple(FEATURE_SETS),
        )
        print_comparison(done.comparison)
        print_links(done.links)


@app.command()
def evaluate(
    model: Annotated[
        str, typer.Option(help="A run id, a models:/ URI or the path of an .onnx file.")
    ],
    corpus: Corpus = DEMO,
    val_source: Annotated[str, typer.Option(help="One source of the corpus, or all.")] = ALL,
    features: Annotated[
        str, typer.Option(help="Feature set that the model must read; auto is its own.")
    ] = AUTO,
    assume_dims: Dims = AUTO,
    max_pairs: MaxPairs = 0,
    frames: Frames = ALL,
    strict: Strict = YesNo.no,
) -> None:
    """Judge a logged or in-tree ONNX model on a corpus and log the report to MLflow."""
    with _exit_code():
        from vmaf_train.commands.evaluate import evaluate_model

        done = evaluate_model(
            _choice(corpus, assume_dims, max_pairs, strict, frames),
            model,
            TerminalReporter(),
            val_source=val_source,
            features=features,
        )
        print_report(done.report, f"{done.report.model.name} on {corpus}, {val_source}")
        print_sources(done.report)
        print_links(done.links)


@app.command()
def main(arch: Arch = DEFAULT_ARCH, corpus: Clips = DEMO, assume_dims: Dims = AUTO) -> None:
    """The whole demo in one run: prewarm, train, and evaluate on every source."""
    with _exit_code():
        from vmaf_train.commands.main import run_all

        choice = CorpusChoice(corpus=corpus, assume_dims=assume_dims)
        done = run_all(choice, arch, Settings(), TerminalReporter())
        report = done.trained.report
        print_report(report, f"{arch} on the held-out source {report.hold_out}")
        print_sources(done.evaluated.report)
        print_links(done.evaluated.links)


@app.command()
def register(
    run_id: Annotated[str, typer.Option(help="The training run whose student is promoted.")] = NONE,
    version: Annotated[
        str, typer.Option(help="Instead: point the alias back at this registered version.")
    ] = NONE,
    allow_worse: Annotated[
        YesNo, typer.Option(help="yes lets a worse student take the alias.")
    ] = YesNo.no,
    allow_dirty: Annotated[
        YesNo, typer.Option(help="yes lets a run of uncommitted code pass.")
    ] = YesNo.no,
    tree: Tree = ".",
) -> None:
    """Promote a run's student through the gates to the registry's alias and to model/tiny/."""
    with _exit_code():
        from vmaf_train.commands import promote

        if (run_id == NONE) == (version == NONE):
            raise InputError("register wants either run_id or version; pass one of them")
        if version != NONE:
            done = promote.point_back(version, Path(tree))
        else:
            done = promote.register(
                run_id,
                Path(tree),
                allow_worse=allow_worse == YesNo.yes,
                allow_dirty=allow_dirty == YesNo.yes,
            )
        print_gates(done.gates)
        print(f"alias {done.alias} names version {done.version}")
        print("\n".join(done.changed) or "the tree held all of it already")


@app.command()
def sync(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; name what differs and exit 1.")
    ] = False,
    tree: Tree = ".",
) -> None:
    """Write what the registry's aliases name into model/tiny/ and its model cards."""
    with _exit_code():
        from vmaf_train.commands import promote

        if not check:
            changed = promote.sync_tree(Path(tree))
            print("\n".join(changed) or "the tree held all of it already")
        elif differences := promote.check_tree(Path(tree)):
            print("\n".join(differences))
            raise VmafTrainError(
                f"{len(differences)} difference(s) between the tree and the registry; "
                "vmaf-train sync writes what the registry of MLFLOW_TRACKING_URI names"
            )
        else:
            print("the tree and the registry agree")


@app.command()
def score(
    ref: Annotated[Path | None, typer.Argument(help="The reference video.")] = None,
    dis: Annotated[Path | None, typer.Argument(help="The distorted video.")] = None,
    model: Annotated[
        str, typer.Option(help="Id of a shipped model, path of an .onnx file, or models:/ URI.")
    ] = DEFAULT_MODEL,
    format: Annotated[Format, typer.Option(help="How to print.")] = Format.json,
    per_frame: Annotated[
        bool, typer.Option("--per-frame", help="Print the score of every frame as well.")
    ] = False,
    size: Annotated[str, typer.Option(help="WxH of raw .yuv files.")] = "",
    pix_fmt: Annotated[
        str, typer.Option(help="Pixel format of raw .yuv files, as ffmpeg names it.")
    ] = "yuv420p",
    manifest: Annotated[
        Path | None, typer.Option(help="CSV of pairs: ref,dis and, for raw files, size,pix_fmt.")
    ] = None,
    out: Annotated[Path, typer.Option(help="CSV that a manifest's scores are added to.")] = Path(
        "scores.csv"
    ),
    jobs: Jobs = 0,
) -> None:
    """Score a video, or the pairs of a manifest; extract only the features that the model reads."""
    with _exit_code():
        given = [path is not None for path in (ref, dis)]
        if any(given) if manifest else not all(given):
            raise InputError(
                "score wants a reference and a distorted video, or --manifest; pass one of the two"
            )
        options = {"model": model, "size": size, "pix_fmt": pix_fmt}
        if manifest:
            from vmaf_train.commands.score_manifest import score_manifest

            done = score_manifest(manifest, out, TerminalReporter(), **options, jobs=jobs)
            print(f"scores are in {done.out}")
            if done.failed:
                raise VmafTrainError(
                    f"{done.failed} pairs failed; the same command tries them again"
                )
        elif ref and dis:
            from vmaf_train.commands.score import score_files

            scored = score_files(ref, dis, **options, jobs=jobs)
            for remark in scored.remarks:
                err.print(f"warning: {remark}", markup=False)
            print_score(scored, format, per_frame=per_frame)


def run() -> None:
    """Run the command line as a process: signals become an interrupt, and the end is quick."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    first: list[float] = []

    def interrupt(number: int, frame: object) -> None:
        # `mlflow run` sends a second signal right after the first; it must not cut the ending of
        # the run short.
        first.append(time.monotonic())
        if len(first) == 1 or first[-1] - first[0] > SECOND_SIGNAL_SECONDS:
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    # Imports make millions of objects that the collector would walk again and again; we make hardly
    # any cycles.
    gc.disable()
    try:
        app()
    finally:
        sys.stdout.flush()
        gc.freeze()


def _choice(
    corpus: str, assume_dims: str, max_pairs: int, strict: YesNo, frames: str
) -> CorpusChoice:
    """Return the choice that train, sweep and evaluate offer."""
    return CorpusChoice(
        corpus=corpus,
        assume_dims=assume_dims,
        max_pairs=max_pairs,
        strict=strict == YesNo.yes,
        frames=frames,
    )


def _given(value: str) -> str | None:
    """Return an option's value, or None where it was left out."""
    return None if value == NONE else value


def _names(text: str, option: str) -> tuple[str, ...]:
    """Split a comma-separated option; "all" gives no names."""
    if text == ALL:
        return ()
    wanted = tuple(name.strip() for name in text.split(",") if name.strip())
    if not wanted:
        raise InputError(f"{option} {text!r} names none; write them like a,b or {ALL}")
    return wanted


@contextmanager
def _exit_code() -> Iterator[None]:
    """Turn what a user can cause into one line and an exit code."""
    try:
        yield
    except GateRefusedError as error:
        print_gates(error.gates)
        err.print(f"refused: {error}", markup=False)
        raise typer.Exit(error.exit_code) from None
    except VmafTrainError as error:
        err.print(f"error: {error}", markup=False)
        raise typer.Exit(error.exit_code) from None
    except OSError as error:
        err.print(
            f"error: {error.filename or 'system'}: {error.strerror}; repair that and run again",
            markup=False,
        )
        raise typer.Exit(InputError.exit_code) from None
    except KeyboardInterrupt:
        err.print("interrupted; finished work is kept, and the same command continues from there")
        raise typer.Exit(INTERRUPTED) from None
