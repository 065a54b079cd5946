"""The whole way of the data: corpus, one libvmaf pass a pair, cache, table, student, ONNX, report, MLflow.

Each public function is one command. Nothing is printed here: a Reporter is told what happens. What only some commands
need is imported by them, since a start of half a second would show.
"""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vmaf_train import tracking
from vmaf_train.commands.results import Evaluated, Prewarmed, Registered, Swept, Trained
from vmaf_train.errors import GateRefusedError, InputError
from vmaf_train.extraction.cache import cache_root, identity_of
from vmaf_train.extraction.libvmaf import Ffmpeg, find_ffmpeg
from vmaf_train.extraction.passes import Place, frame_scores, on_this_machine
from vmaf_train.features import CANONICAL, TEACHER, columns_for, find_feature_set
from vmaf_train.frames.choice import ALL, AUTO, CorpusChoice
from vmaf_train.frames.opening import open_corpus, open_pairs, table_of_pairs
from vmaf_train.frames.table import (
    FrameTable,
    choose_folds,
    choose_hold_out,
    columns_of,
    pack,
    split,
    write_parquet,
)
from vmaf_train.reporting import Epoch, Reporter
from vmaf_train.students.settings import PLAIN, Settings
from vmaf_train.teacher.svr import missing_of

if TYPE_CHECKING:
    from vmaf_train.onnx_file.inference import OnnxStudent

HERE = "none"


def prewarm(
    choice: CorpusChoice, reporter: Reporter, scheduler: str = HERE, features: str = CANONICAL.name
) -> Prewarmed:
    """Fill the cache: libvmaf scores every pair that it does not hold yet.

    Args:
        choice: the corpus.
        reporter: is told the progress.
        scheduler: a Dask scheduler's address, or `local:N` for one of N workers; "none" uses this machine's cores.
        features: name of a feature set that every clip must have; a pass fills all of them at once.

    Raises:
        InputError: the corpus, the ffmpeg, the cache folder or the cluster is not usable.
        ExtractionError: some pairs failed; the others are in the cache.
    """
    with tracking.job("prewarm") as run:
        return _prewarm(choice, run, reporter, scheduler, features)


def export_features(choice: CorpusChoice, path: Path, reporter: Reporter) -> FrameTable:
    """Write all features and scores of a corpus to a Parquet file, to train from without any pixel.

    Raises:
        InputError: the corpus, the ffmpeg, the cache folder or the file is not usable.
        ExtractionError: some pairs failed; the others are in the cache.
    """
    if path.suffix != ".parquet":
        raise InputError(
            f"{path} does not end in .parquet, by which such a file is known; name it so"
        )
    if not path.absolute().parent.is_dir():
        raise InputError(
            f"cannot write {path}: no folder {path.parent}; name a file in a folder that can be written"
        )
    ffmpeg = find_ffmpeg()
    pairs = open_pairs(choice, ffmpeg, reporter).pairs
    table = table_of_pairs(pairs, ffmpeg, choice.cores, reporter)
    identities = (
        identity_of(pair, ffmpeg.libvmaf_version).model_dump(mode="json") for pair in pairs
    )
    write_parquet(table, path, ffmpeg.libvmaf_version, identities)
    return table


def train(
    choice: CorpusChoice,
    arch: str,
    val_source: str,
    settings: Settings,
    reporter: Reporter,
    trainer: str = PLAIN,
) -> Trained:
    """Fit a student on every source but the held-out one, judge it on that one, and log all of it.

    Without epochs this is a smoke: no libvmaf, zero-filled features and scores, the initial weights exported. The
    trainers "plain" and "lightning" take the same steps; the second needs the extra of that name.

    Raises:
        InputError: the arch, the corpus, the val_source, the ffmpeg or the cache folder is not usable.
    """
    with tracking.job(arch) as run:
        return _train(choice, arch, val_source, settings, run, reporter, trainer)


def sweep(
    choice: CorpusChoice,
    archs: Sequence[str],
    folds: Sequence[str],
    seeds: int,
    settings: Settings,
    reporter: Reporter,
    features: Sequence[str] = (CANONICAL.name,),
) -> Swept:
    """Fit every architecture once a fold and seed, judge each on what it never saw, and compare them.

    One run an architecture, with the student fitted on all sources but a lone fold, and one run for the comparison;
    a tag `sweep` joins them.

    Args:
        choice: the corpus.
        archs: names of architectures; empty is all of them.
        folds: sources to hold out in turn; empty is all of them.
        seeds: fits a fold, of this many seeds from the settings' own on.
        settings: of every fit.
        reporter: is told about each architecture.
        features: names of the feature sets; each architecture is fitted for each of them.

    Raises:
        InputError: an arch, a feature set, a fold or the corpus is not usable.
    """
    from vmaf_train.judging import figures
    from vmaf_train.judging.comparison import compare_archs
    from vmaf_train.judging.crossval import cross_validate
    from vmaf_train.students import architectures as models

    with tracking.job("sweep") as run:
        sets = [find_feature_set(name) for name in dict.fromkeys(features)]
        names = tuple(dict.fromkeys(archs)) or tuple(models.ARCHITECTURES)
        # The teacher itself cannot read what lacks its features; who asks for it there is told so.
        fits = [
            (models.find_architecture(arch, row.features), row)
            for row in sets
            for arch in names
            if archs or not missing_of(row.features) or models.ARCHITECTURES[arch].trained
        ]
        corpus = open_corpus(choice, reporter, [column for row in sets for column in row.features])
        chosen = choose_folds(corpus.clip_sources, folds)
        run.start("sweep")
        settled = {"folds": ",".join(folds) or ALL, "seeds": seeds, "corpus": choice.corpus}
        settled |= {
            "assume_dims": choice.assume_dims,
            "max_pairs": choice.max_pairs,
            **asdict(settings),
        }
        run.log_settings(
            {"archs": ",".join(names), **settled, "features": ",".join(row.name for row in sets)}
        )
        table = corpus.table(())
        judged = table.only(chosen)

        sweep_id = run.run_id[:8]
        facts = {
            "teacher": TEACHER,
            "corpus": choice.name,
            "libvmaf_version": str(corpus.libvmaf_version),
        }
        tags = {
            "sweep": sweep_id,
            "dataset_digest": table.digest,
            "libvmaf_version": facts["libvmaf_version"],
        }
        results = {}
        for arch, row in fits:
            name = arch.name if row is CANONICAL else f"{arch.name}-{row.name}"
            with tracking.job(name) as one:
                one.start(name)
                one.log_settings({"arch": arch.name, **settled, "features": row.name})
                own = replace(settings, features=row.name)
                result = results[name] = cross_validate(arch.name, table, judged, seeds, own, facts)
                alone = compare_archs(
                    judged, {name: result}, sweep_id, choice.name, settings.teacher_points
                ).rows[0]
                one.log_dataset(table, choice.name, "sweep")
                one.log_tags(tags | {"onnx_sha256": result.student.sha256})
                one.log_arch(alone, result.report)
                one.log_files({f"{name}.onnx": result.student.content})
                one.log_model(result.student, table.select(result.student.features).x_NF[:4])
                reporter.say(f"{name}: out-of-fold RMSE {alone.frames.rmse:.4f}")
        comparison = compare_archs(judged, results, sweep_id, choice.name, settings.teacher_points)
        run.log_tags(tags)
        run.log_dataset(table, choice.name, "sweep")
        run.log_files({"comparison.json": comparison.model_dump_json(indent=2).encode()})
        run.log_files({"comparison.md": comparison.to_markdown().encode()})
        run.log_files(figures.sweep_figures(comparison))
        return Swept(
            comparison, run.where_to_look(run.share_view(sweep_id, "sweep", "loso/mean_rmse"))
        )


def evaluate_model(
    choice: CorpusChoice, model: str, val_source: str, reporter: Reporter, features: str = AUTO
) -> Evaluated:
    """Judge a logged or in-tree ONNX model on one source of a corpus, or on all of them.

    Raises:
        InputError: the model or the corpus is not usable, or the model reads other features than "auto" or asked for.
    """
    from vmaf_train.shipping import registry

    with tracking.job("evaluate") as run:
        student, name = registry.find_student(model)
        if features != AUTO and find_feature_set(features).features != student.features:
            raise InputError(
                f"{name} reads {', '.join(student.features)}, which is not {features}; pass features=auto"
            )
        return _evaluate(choice, student, name, val_source, run, reporter)


def run_all(
    choice: CorpusChoice, arch: str, settings: Settings, reporter: Reporter
) -> tuple[Trained, Evaluated]:
    """Prewarm, train, and evaluate the student on every source, in one run.

    Raises:
        InputError: as the three steps do.
    """
    with tracking.job(arch) as run:
        _prewarm(choice, run, reporter)
        trained = _train(choice, arch, AUTO, settings, run, reporter)
        return trained, _evaluate(
            choice, trained.student, arch, ALL, run, reporter, folder="all_sources"
        )


def register(
    run_id: str, version: str, root: Path, allow_worse: bool, allow_dirty: bool
) -> Registered:
    """Promote a run's student: gates, a version once for each file, its alias, and the files in the tree.

    Args:
        run_id: of a training run; ignored when `version` is given.
        version: of the registered model, to point its alias back at it; empty for a promotion.
        root: the checkout whose model/tiny/ is written.
        allow_worse, allow_dirty: let those two gates pass.

    Raises:
        GateRefusedError: a gate said no; nothing was changed.
        InputError: no such run or version, or no such checkout.
    """
    from vmaf_train.shipping import registry, sync

    with tracking.job("register"):
        tree, gates = sync.Tree(root), []
        # From the judgement to the files in one piece: what was judged against is what is replaced.
        with tree.lock:
            if version:
                place = registry.point_back(version)
            else:
                candidate = registry.find_candidate(run_id)
                gates = registry.judge(candidate, allow_worse, allow_dirty)
                if refused := [gate.name for gate in gates if not gate.passed]:
                    raise GateRefusedError(
                        f"run {run_id} is not registered: {', '.join(refused)}", gates
                    )
                assert candidate.place, "the gates let no other arch through"
                place = candidate.place
                version = registry.promote(candidate, place)
            changed = tree.sync({place.alias: registry.fetch(version)})
            return Registered(gates, version, place.alias, changed)


def sync_tree(root: Path) -> list[str]:
    """Write what the registry's aliases name into the checkout's model/tiny/; return the names of what changed.

    Raises:
        InputError: no such checkout, or it cannot be written.
        VmafTrainError: a registered version is not what its tags say; nothing was written.
    """
    from vmaf_train.shipping import registry, sync

    tree = sync.Tree(root)
    with tree.lock:
        return tree.sync(registry.promoted_students())


def check_tree(root: Path) -> list[str]:
    """Return one line for each difference between the checkout's model/tiny/ and the registry."""
    from vmaf_train.shipping import registry, sync

    return sync.Tree(root).check(registry.promoted_students())


def _prewarm(
    choice: CorpusChoice,
    run: tracking.Job,
    reporter: Reporter,
    scheduler: str = HERE,
    features: str = CANONICAL.name,
) -> Prewarmed:
    started = time.monotonic()
    ffmpeg = find_ffmpeg()
    found = open_pairs(choice, ffmpeg, reporter)
    place = (
        on_this_machine(ffmpeg, choice.cores)
        if scheduler == HERE
        else _cluster(scheduler, ffmpeg, reporter)
    )
    wanted = columns_for(find_feature_set(features).features)
    extracted = frames = 0
    with closing(frame_scores(found.pairs, ffmpeg.libvmaf_version, place, reporter)) as scored:
        for each in scored:
            columns_of(each.scores.features, wanted)
            extracted += each.extracted
            frames += len(each.scores.y_N)
    if run.run_id:
        run.log_metrics(
            {
                "prewarm/pairs": len(found.pairs),
                "prewarm/extracted": extracted,
                "prewarm/frames": frames,
            }
        )
    return Prewarmed(found, extracted, frames, time.monotonic() - started, cache_root())


def _cluster(scheduler: str, ffmpeg: Ffmpeg, reporter: Reporter) -> Place:
    try:
        from vmaf_train.extraction.cluster import on_a_cluster
    except ModuleNotFoundError as error:
        raise InputError(
            "a scheduler needs an extra; run: pip install 'vmaf-train[cluster]'"
        ) from error
    return on_a_cluster(scheduler, ffmpeg.libvmaf_version, reporter)


def _train(
    choice: CorpusChoice,
    arch: str,
    val_source: str,
    settings: Settings,
    run: tracking.Job,
    reporter: Reporter,
    trainer: str = PLAIN,
) -> Trained:
    from vmaf_train.judging import figures
    from vmaf_train.judging.evaluation import evaluate
    from vmaf_train.onnx_file import contract
    from vmaf_train.onnx_file.inference import OnnxStudent
    from vmaf_train.students import architectures as models
    from vmaf_train.students import export, training
    from vmaf_train.students.loops import find_loop

    features = find_feature_set(settings.features).features
    make_loop = find_loop(trainer, models.find_architecture(arch, features))
    smoke = not settings.epochs
    corpus = open_corpus(choice, reporter, features, smoke)
    hold_out = choose_hold_out(corpus.sources, val_source)
    reporter.say(
        f"hold-out: {hold_out} ({'as asked' if val_source == hold_out else 'chosen: val_source is auto'})"
    )
    if smoke:
        reporter.say(
            "smoke: zero-filled features and scores, initial weights; the metrics say nothing about quality"
        )
    run.start(arch)
    run.log_settings(
        {
            "arch": arch,
            "corpus": choice.corpus,
            "val_source": val_source,
            "trainer": trainer,
            **asdict(settings),
        }
        | {"assume_dims": choice.assume_dims, "max_pairs": choice.max_pairs, "hold_out": hold_out}
    )

    table = corpus.table(())
    train_rows, val_rows = split(table, hold_out)

    def on_epoch(epoch: Epoch) -> None:
        reporter.epoch(epoch, settings.epochs)
        run.log_epoch(epoch)

    loop = make_loop(*run.address)
    fit = training.fit(arch, train_rows, val_rows, settings, on_epoch=on_epoch, loop=loop)
    plain = (
        OnnxStudent(export.to_onnx(fit.without_points, {}), arch) if fit.without_points else None
    )
    facts: dict[str, object] = {
        "teacher": TEACHER,
        "hold_out": hold_out,
        "train_sources": train_rows.sources,
    }
    facts |= {"corpus": choice.name, "train_frames": len(train_rows)}
    facts |= {"teacher_points": settings.teacher_points}
    facts |= {
        "train_digest": train_rows.digest,
        "libvmaf_version": corpus.libvmaf_version,
        "smoke": smoke,
    }
    student = OnnxStudent(export.to_onnx(fit.student, facts), arch)
    contract.check_contract(student.content)
    export.check_same_scores(student, fit.student, table.select(student.features).x_NF)
    report, score_N = evaluate(
        student,
        val_rows,
        name=arch,
        corpus=choice.name,
        libvmaf_version=corpus.libvmaf_version,
        hold_out=hold_out,
        without_points=plain,
    )

    run.log_dataset(train_rows, choice.name, "training")
    run.log_dataset(val_rows, choice.name, "validation")
    # Under a name of their own, so that no list of runs ranks a smoke above real ones.
    run.log_report("smoke" if smoke else "val", report)
    run.log_tags({"dataset_digest": table.digest, **report.tags, "smoke": str(smoke).lower()})
    run.log_files(
        {
            f"{arch}.onnx": student.content,
            "eval_report.json": report.model_dump_json(indent=2).encode(),
        }
    )
    run.log_files({"held_out.npz": pack(val_rows, score_N)})
    run.log_files(figures.evaluation_figures(report, score_N, val_rows.y_N))
    run.log_files(figures.training_figure(fit.history, hold_out))
    run.log_model(student, val_rows.select(student.features).x_NF[:4])
    return Trained(report, run.where_to_look(), student)


def _evaluate(
    choice: CorpusChoice,
    student: "OnnxStudent",
    name: str,
    val_source: str,
    run: tracking.Job,
    reporter: Reporter,
    folder: str = "",
) -> Evaluated:
    from vmaf_train.judging import figures
    from vmaf_train.judging.evaluation import evaluate

    corpus = open_corpus(choice, reporter, student.features)
    if val_source not in (ALL, *corpus.sources):
        raise InputError(
            f"val_source {val_source} is not in the corpus; choose one of: {', '.join(corpus.sources)}, or {ALL}"
        )
    run.start(f"evaluate {name}")
    run.log_settings({"model": name, "corpus": choice.corpus, "val_source": val_source})
    table = corpus.table(() if val_source == ALL else (val_source,))
    hold_out = None if val_source == ALL else val_source
    report, score_N = evaluate(
        student,
        table,
        name=name,
        corpus=choice.name,
        libvmaf_version=corpus.libvmaf_version,
        hold_out=hold_out,
    )

    run.log_dataset(table, choice.name, "evaluation")
    run.log_report("eval", report)
    if not folder:
        run.log_tags({"dataset_digest": table.digest, **report.tags})
    run.log_files({"eval_report.json": report.model_dump_json(indent=2).encode()}, folder)
    run.log_files(figures.evaluation_figures(report, score_N, table.y_N), folder)
    return Evaluated(report, run.where_to_look())
