"""The command line: parse, call a command, print its result, exit. Nothing else.

A command imports its module only when it runs, so `--help` and `score` start without torch and
MLflow.
"""

from pathlib import Path

import typer

from vmaf_train import options, upkeep
from vmaf_train.clips.video import check_scale
from vmaf_train.corpus_options import EXTRACTION, OPTIONS, names_in, share_in, with_corpus
from vmaf_train.errors import GateRefusedError, InputError, VmafTrainError
from vmaf_train.exits import exit_code, no_wait_for_threads, quick
from vmaf_train.features import CANONICAL
from vmaf_train.frames.choice import ALL, AUTO, DEMO, CorpusChoice
from vmaf_train.students.settings import PLAIN, Settings
from vmaf_train.terminal import (
    TerminalReporter,
    print_comparison,
    print_export,
    print_gates,
    print_links,
    print_misses,
    print_report,
    print_score,
    print_sources,
)

DEFAULT_ARCH = "mlp_small"
# Options of a corpus that `main` has.
SIMPLE = ("corpus", "assume_dims", "assume_pix_fmt", "scale")
DEFAULT_MODEL = "vmaf_tiny_exact"

app = typer.Typer(
    name="vmaf-train",
    help="Distil VMAF into tiny ONNX students, tracked in MLflow.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(upkeep.cache, name="cache")
app.command()(upkeep.runs)


@app.command()
def encode(
    videos: options.References,
    out: options.CorpusOut,
    encoders: options.Encoders = "libx264",
    ladder: options.LadderText = "default",
    seconds: options.Seconds = 0.0,
    clips: options.ClipsPerSource = 0,
    jobs: options.Jobs = 0,
    scheduler: options.Scheduler = options.NONE,
) -> None:
    """Make a corpus from reference videos: encodes of each, and the list of pairs."""
    with exit_code():
        from vmaf_train.commands.encode import Ladder, encode

        wanted = Ladder(names_in(encoders, "encoders"), ladder, seconds, clips)
        done = encode(
            videos, out, wanted, TerminalReporter(), jobs=jobs, scheduler=_given(scheduler)
        )
        print(f"{done.complete} pairs, {done.made} files made now; the list is {done.pairs}")
        print(f"score them: vmaf-train prewarm --corpus {done.pairs}")
        if done.failed:
            raise VmafTrainError(f"{len(done.failed)} left out; see the lines above")


@app.command()
@with_corpus({**OPTIONS, **EXTRACTION, "corpus": (options.Clips, DEMO)})
def prewarm(
    choice: CorpusChoice,
    scheduler: options.Scheduler = options.NONE,
    features: options.PrewarmFeatures = CANONICAL.name,
) -> None:
    """Fill the cache: let libvmaf score every pair that the cache does not hold yet."""
    from vmaf_train.commands.prewarm import prewarm

    done = prewarm(choice, TerminalReporter(), scheduler=_given(scheduler), features=features)
    pairs = len(done.scan.pairs)
    print(
        f"{pairs} pairs, {done.frames} frames: {done.extracted} extracted, "
        f"{pairs - done.extracted} already there, {len(done.scan.left_out)} files left out, "
        f"{done.seconds:.2f} s; cache {done.cache}"
    )


@app.command()
@with_corpus({**OPTIONS, **EXTRACTION, "corpus": (options.ClipsOrLogs, DEMO)})
def export_features(choice: CorpusChoice, out: options.Out) -> None:
    """Write the features and scores of a corpus to one file, for training without the clips."""
    from vmaf_train.commands.export_features import export_features

    table = export_features(choice, out, TerminalReporter())
    print(f"{len(table)} frames of {len(table.clips)} clips, digest {table.digest}, in {out}")
    print(f"train from it: vmaf-train train --corpus {out}")


@app.command()
@with_corpus()
def train(
    choice: CorpusChoice,
    arch: options.Arch = DEFAULT_ARCH,
    val_source: options.HoldOut = AUTO,
    epochs: options.Epochs = Settings.epochs,
    batch_size: options.BatchSize = Settings.batch_size,
    lr: options.LearningRate = Settings.lr,
    seed: options.Seed = Settings.seed,
    teacher_points: options.TeacherPoints = Settings.teacher_points,
    features: options.Features = Settings.features,
    targets: options.Targets = Settings.targets,
    mos_weight: options.MosWeight = Settings.mos_weight,
    trainer: options.Trainer = PLAIN,
) -> None:
    """Fit a student with one source held out, judge it on that source, and log all to MLflow."""
    from vmaf_train.commands.train import train

    settings = Settings(
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        teacher_points=teacher_points,
        features=features,
        targets=targets,
        mos_weight=mos_weight,
    )
    done = train(choice, arch, settings, TerminalReporter(), val_source=val_source, trainer=trainer)
    print_report(done.report, f"{arch} on the held-out source {done.report.hold_out}")
    print_links(done.links)
    print(f"judge it elsewhere: vmaf-train evaluate --model {done.links.run_id}")


@app.command()
@with_corpus()
def sweep(
    choice: CorpusChoice,
    archs: options.Archs = ALL,
    folds: options.Folds = ALL,
    seeds: options.Seeds = 5,
    epochs: options.SweepEpochs = Settings.epochs,
    batch_size: options.BatchSize = Settings.batch_size,
    lr: options.LearningRate = Settings.lr,
    seed: options.Seed = Settings.seed,
    teacher_points: options.TeacherPoints = Settings.teacher_points,
    features: options.FeatureSets = CANONICAL.name,
    targets: options.TargetsList = Settings.targets,
    mos_weight: options.MosWeight = Settings.mos_weight,
) -> None:
    """Compare architectures by leave-one-source-out over several seeds, with one run each."""
    from vmaf_train.commands.sweep import sweep

    settings = Settings(
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        teacher_points=teacher_points,
        mos_weight=mos_weight,
    )
    done = sweep(
        choice,
        settings,
        TerminalReporter(),
        archs=names_in(archs, "archs"),
        folds=names_in(folds, "folds"),
        seeds=seeds,
        features=names_in(features, "features"),
        targets=names_in(targets, "targets"),
    )
    for comparison in done.comparisons:
        print_comparison(comparison)
    print_links(done.links)


@app.command()
@with_corpus()
def evaluate(
    choice: CorpusChoice,
    model: options.AnyModel,
    val_source: options.OneSource = ALL,
    features: options.OwnFeatures = AUTO,
    targets: options.OwnTargets = AUTO,
    expect: options.Expect = options.NONE,
) -> None:
    """Judge a logged or in-tree ONNX model on a corpus and log the report to MLflow."""
    from vmaf_train.commands.evaluate import evaluate_model, holds

    wanted = share_in(expect)
    done = evaluate_model(
        choice,
        model,
        TerminalReporter(),
        val_source=val_source,
        features=features,
        targets=targets,
        expect=wanted,
    )
    print_report(done.report, f"{done.report.model.name} on {choice.corpus}, {val_source}")
    print_sources(done.report)
    print_misses(done.report)
    print_links(done.links)
    if wanted is not None and not holds(done.report, wanted):
        raise GateRefusedError(f"the stated interval held for fewer than {wanted:g} of the clips")


@app.command()
@with_corpus({**{name: OPTIONS[name] for name in SIMPLE}, "corpus": (options.Clips, DEMO)})
def main(choice: CorpusChoice, arch: options.Arch = DEFAULT_ARCH) -> None:
    """Prewarm, train, and evaluate the student on every source, all in one MLflow run."""
    from vmaf_train.commands.main import run_all

    done = run_all(choice, arch, Settings(), TerminalReporter())
    report = done.trained.report
    print_report(report, f"{arch} on the held-out source {report.hold_out}")
    print_sources(done.evaluated.report)
    print_links(done.evaluated.links)


@app.command()
def upload(folder: options.Kept) -> None:
    """Finish the run of a training that lost its server, from the folder that train named."""
    with exit_code():
        from vmaf_train.commands.upload import upload

        print_links(upload(folder))


@app.command()
def register(
    run_id: options.RunId = options.NONE,
    version: options.Version = options.NONE,
    allow_worse: options.AllowWorse = options.YesNo.no,
    allow_dirty: options.AllowDirty = options.YesNo.no,
    tree: options.Tree = ".",
) -> None:
    """Promote a run's student: run the gates, register it, move its alias, write model/tiny/."""
    with exit_code():
        from vmaf_train.commands import promote

        if (run_id == options.NONE) == (version == options.NONE):
            raise InputError("register needs either run_id or version; pass one of the two")
        if version != options.NONE:
            done = promote.point_back(version, Path(tree))
        else:
            done = promote.register(
                run_id,
                Path(tree),
                allow_worse=allow_worse == options.YesNo.yes,
                allow_dirty=allow_dirty == options.YesNo.yes,
            )
        print_gates(done.gates)
        print(f"alias {done.alias} names version {done.version}")
        print("\n".join(done.changed) or "the tree is up to date")


@app.command()
def sync(
    check: options.Check = False,
    adopt: options.Adopt = False,
    tree: options.Tree = ".",
) -> None:
    """Write the students of the registry's aliases to model/tiny/, and their model cards."""
    with exit_code():
        from vmaf_train.commands import promote

        if check and adopt:
            raise InputError("--check changes nothing, --adopt registers; pass one of the two")
        if adopt:
            adopted = promote.adopt_tree(Path(tree))
            print("\n".join(adopted) or "the registry has an alias for all that the tree ships")
        elif not check:
            changed = promote.sync_tree(Path(tree))
            print("\n".join(changed) or "the tree is up to date")
        elif differences := promote.check_tree(Path(tree)):
            print("\n".join(differences))
            raise VmafTrainError(
                f"{len(differences)} difference(s) between the tree and the registry; "
                "vmaf-train sync writes the students of the registry in MLFLOW_TRACKING_URI, "
                "vmaf-train sync --adopt registers what the tree ships and no alias names"
            )
        else:
            print("the tree and the registry agree")


@app.command()
def export(
    model: options.ExportModel,
    out: options.ExportOut,
    format: options.ExportAs = options.ExportFormat.libvmaf,
) -> None:
    """Write a student as a file that other programs run: a model file of libvmaf, for ffmpeg."""
    with exit_code():
        from vmaf_train.commands.export import export_libvmaf

        print_export(export_libvmaf(model, out))


@app.command()
def score(
    ref: options.Ref = None,
    dis: options.Dis = None,
    model: options.ScoreModel = DEFAULT_MODEL,
    teacher: options.ScoreTeacher = options.NONE,
    format: options.PrintFormat = options.Format.json,
    per_frame: options.PerFrame = False,
    size: options.Size = "",
    pix_fmt: options.PixFmt = "yuv420p",
    manifest: options.Manifest = None,
    log: options.Log = None,
    out: options.ScoresOut = Path("scores.csv"),
    jobs: options.Jobs = 0,
    every: options.Every = 1,
    within: options.Within = None,
    seed: options.SampleSeed = 0,
    scale: options.Scale = CorpusChoice.scale,
    offset: options.Offset = CorpusChoice.offset,
) -> None:
    """Score a video, the pairs of a manifest, or a log; extract only what the model reads."""
    with exit_code():
        from vmaf_train.clips.manifest import PairRow
        from vmaf_train.clips.pairs import parse_offset
        from vmaf_train.commands.score import score_log, score_pair
        from vmaf_train.commands.scorer import load_scorer
        from vmaf_train.commands.video_score import Sampling

        sampling = Sampling(every, within, seed)
        _check_inputs(log, manifest, (ref, dis), all_frames=sampling.all_frames)
        check_scale(scale)
        _check_one(model, teacher)
        scorer = load_scorer(model, teacher)
        if manifest:
            from vmaf_train.commands.score_manifest import score_manifest

            done = score_manifest(
                manifest,
                out,
                TerminalReporter(),
                scorer=scorer,
                size=size,
                pix_fmt=pix_fmt,
                jobs=jobs,
                sampling=sampling,
                scale=scale,
                offset=parse_offset(offset),
            )
            print(f"scores are in {done.out}")
            if done.failed:
                raise VmafTrainError(
                    f"{done.failed} pairs failed; the same command tries them again"
                )
        else:
            if log:
                scored = score_log(log, scorer=scorer)
            else:
                assert ref and dis
                pair = PairRow(ref, dis, size, pix_fmt, scale=scale, offset=parse_offset(offset))
                scored = score_pair(pair, scorer=scorer, jobs=jobs, sampling=sampling)
            print_score(scored, format, per_frame=per_frame)


def run_app() -> None:
    """Run the command line."""
    with quick(), no_wait_for_threads():
        app()


def _check_one(model: str, teacher: str) -> None:
    """Raise InputError if `score` is given both a model and a teacher."""
    if teacher != options.NONE and model != DEFAULT_MODEL:
        raise InputError("--model and --teacher both say what scores; pass one of the two")


def _check_inputs(
    log: Path | None, manifest: Path | None, videos: tuple[Path | None, ...], *, all_frames: bool
) -> None:
    """Raise InputError unless `score` is given exactly one of a log, a manifest or two videos."""
    given = [path is not None for path in videos]
    if log and (manifest or any(given) or not all_frames):
        raise InputError(
            "--log scores the frames of a log, without videos; leave out the videos, --manifest, "
            "--every and --within"
        )
    if not log and (any(given) if manifest else not all(given)):
        raise InputError(
            "score needs a reference and a distorted video, or --manifest, or --log; "
            "pass one of the three"
        )


def _given(value: str) -> str | None:
    """Return the value of an option, or None if it was left out."""
    return None if value == options.NONE else value
