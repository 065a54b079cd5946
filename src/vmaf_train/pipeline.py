"""The whole way of the data: corpus, one libvmaf pass a pair, cache, table, student, ONNX, report, MLflow.

Each public function is one command. Nothing is printed here: a Reporter is told what happens.
"""

import os
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vmaf_train import demo, registry, sync, tracking
from vmaf_train.cache import ClipCache, cache_root, identity_of
from vmaf_train.corpus import Pair, Scan, YuvFormat, dis_source, first_in_turn, parse_dims, scan
from vmaf_train.dataset import FrameTable, choose_hold_out, pack, split
from vmaf_train.errors import ExtractionError, GateRefusedError, InputError
from vmaf_train.evaluation import EvalReport, evaluate
from vmaf_train.features import CANONICAL, TEACHER
from vmaf_train.inference import OnnxStudent
from vmaf_train.libvmaf import Ffmpeg, FrameScores, find_ffmpeg
from vmaf_train.reporting import Reporter

if TYPE_CHECKING:
    from vmaf_train.training import Epoch, Settings

DEMO = "demo"
ALL = "all"
AUTO = "auto"


@dataclass(frozen=True)
class CorpusChoice:
    """Which pairs to work on.

    Attributes:
        corpus: a folder in the Netflix layout, or "demo".
        assume_dims: "WxH" of every file; "auto" is 1920x1080, or the demo corpus's own size.
        sources: keep only these; empty keeps all.
        max_pairs: keep at most so many, sources in turn; 0 keeps all.
        strict: files that are no usable pair are an error instead of being left out.
        jobs: libvmaf passes at once; 0 is one a core.
    """

    corpus: str = DEMO
    assume_dims: str = AUTO
    sources: tuple[str, ...] = ()
    max_pairs: int = 0
    strict: bool = False
    jobs: int = 0

    @property
    def workers(self) -> int:
        """How many passes to run at once."""
        # Not every system tells which cores this process may use.
        return self.jobs or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)

    @property
    def name(self) -> str:
        """The corpus's name without the path to it, which is nobody else's business."""
        return self.corpus if self.corpus == DEMO else Path(self.corpus).expanduser().resolve().name

    def format_or(self, default: YuvFormat) -> YuvFormat:
        """Return the geometry asked for, or `default` for "auto"."""
        return default if self.assume_dims == AUTO else parse_dims(self.assume_dims)


@dataclass(frozen=True)
class Prewarmed:
    """What a prewarm did."""

    scan: Scan
    extracted: int
    frames: int
    seconds: float
    cache: Path


@dataclass(frozen=True)
class Evaluated:
    """A report, and lines that lead to its run."""

    report: EvalReport
    where: Sequence[str]


@dataclass(frozen=True)
class Trained(Evaluated):
    """The report on the held-out source and the student's ONNX bytes."""

    student: OnnxStudent


@dataclass(frozen=True)
class Registered:
    """What a promotion did: the gates it passed, the version its alias names, the files that changed."""

    gates: Sequence[registry.Gate]
    version: str
    alias: str
    changed: Sequence[str]


def prewarm(choice: CorpusChoice, reporter: Reporter) -> Prewarmed:
    """Fill the cache: one libvmaf pass for every pair that it does not hold yet.

    Raises:
        InputError: the corpus, the ffmpeg or the cache folder is not usable.
        ExtractionError: some pairs failed; the others are in the cache.
    """
    with tracking.job("prewarm") as run:
        return _prewarm(choice, run, reporter)


def train(choice: CorpusChoice, arch: str, val_source: str, settings: "Settings", reporter: Reporter) -> Trained:
    """Fit a student on every source but the held-out one, judge it on that one, and log all of it.

    Without epochs this is a smoke: no libvmaf, zero-filled features and scores, the initial weights exported.

    Raises:
        InputError: the arch, the corpus, the val_source, the ffmpeg or the cache folder is not usable.
    """
    with tracking.job(arch) as run:
        return _train(choice, arch, val_source, settings, run, reporter)


def evaluate_model(choice: CorpusChoice, model: str, val_source: str, reporter: Reporter) -> Evaluated:
    """Judge a logged or in-tree ONNX model on one source of a corpus, or on all of them.

    Raises:
        InputError: the model or the corpus is not usable.
    """
    with tracking.job("evaluate") as run:
        student, name = registry.find_student(model)
        return _evaluate(choice, student, name, val_source, run, reporter)


def run_all(choice: CorpusChoice, arch: str, settings: "Settings", reporter: Reporter) -> tuple[Trained, Evaluated]:
    """Prewarm, train, and evaluate the student on every source, in one run.

    Raises:
        InputError: as the three steps do.
    """
    with tracking.job(arch) as run:
        _prewarm(choice, run, reporter)
        trained = _train(choice, arch, AUTO, settings, run, reporter)
        return trained, _evaluate(choice, trained.student, arch, ALL, run, reporter, folder="all_sources")


def register(run_id: str, version: str, root: Path, allow_worse: bool, allow_dirty: bool) -> Registered:
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
                    raise GateRefusedError(f"run {run_id} is not registered: {', '.join(refused)}", gates)
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
    tree = sync.Tree(root)
    with tree.lock:
        return tree.sync(registry.promoted_students())


def check_tree(root: Path) -> list[str]:
    """Return one line for each difference between the checkout's model/tiny/ and the registry."""
    return sync.Tree(root).check(registry.promoted_students())


def _prewarm(choice: CorpusChoice, run: tracking.Job, reporter: Reporter) -> Prewarmed:
    started = time.monotonic()
    ffmpeg = find_ffmpeg()
    found = _open_corpus(choice, ffmpeg, reporter)
    scores, extracted = _frame_scores(found.pairs, ffmpeg, choice.workers, reporter)
    frames = sum(len(clip.y_N) for clip in scores)
    if run.run_id:
        run.log_metrics({"prewarm/pairs": len(scores), "prewarm/extracted": extracted, "prewarm/frames": frames})
    return Prewarmed(found, extracted, frames, time.monotonic() - started, cache_root())


def _train(
    choice: CorpusChoice,
    arch: str,
    val_source: str,
    settings: "Settings",
    run: tracking.Job,
    reporter: Reporter,
) -> Trained:
    from vmaf_train import contract, export, models, training

    models.find_architecture(arch)
    smoke = not settings.epochs
    ffmpeg = None if smoke else find_ffmpeg()
    found = _open_corpus(choice, ffmpeg, reporter)
    hold_out = choose_hold_out((pair.source for pair in found.pairs), val_source)
    reporter.say(f"hold-out: {hold_out} ({'as asked' if val_source == hold_out else 'chosen: val_source is auto'})")
    if smoke:
        reporter.say("smoke: zero-filled features and scores, initial weights; the metrics say nothing about quality")
    run.start(arch)
    run.log_settings(
        {"arch": arch, "corpus": choice.corpus, "val_source": val_source, **asdict(settings)}
        | {"assume_dims": choice.assume_dims, "max_pairs": choice.max_pairs, "hold_out": hold_out}
    )

    if ffmpeg:
        scores, _ = _frame_scores(found.pairs, ffmpeg, choice.workers, reporter)
    else:
        scores = [_zero_scores(pair) for pair in found.pairs]
    libvmaf_version = ffmpeg.libvmaf_version if ffmpeg else None
    table = FrameTable.from_clips(zip(found.pairs, scores, strict=True))
    train_rows, val_rows = split(table, hold_out)

    def on_epoch(epoch: "Epoch") -> None:
        reporter.epoch(epoch, settings.epochs)
        run.log_epoch(epoch)

    fit = training.fit(arch, train_rows, val_rows, settings, on_epoch)
    facts: dict[str, object] = {"teacher": TEACHER, "hold_out": hold_out, "train_sources": train_rows.sources}
    facts |= {"corpus": choice.name, "train_frames": len(train_rows)}
    facts |= {"train_digest": train_rows.digest, "libvmaf_version": libvmaf_version, "smoke": smoke}
    student = OnnxStudent(export.to_onnx(fit.student, table.features, facts), arch)
    contract.check_contract(student.content)
    export.check_same_scores(student, fit.student, table.x_NF)
    report, score_N = evaluate(
        student, val_rows, name=arch, corpus=choice.name, libvmaf_version=libvmaf_version, hold_out=hold_out
    )

    from vmaf_train import figures

    run.log_dataset(train_rows, choice.name, "training")
    run.log_dataset(val_rows, choice.name, "validation")
    # Under a name of their own, so that no list of runs ranks a smoke above real ones.
    run.log_report("smoke" if smoke else "val", report)
    run.log_tags({"dataset_digest": table.digest, **_tags_of(report), "smoke": str(smoke).lower()})
    run.log_files({f"{arch}.onnx": student.content, "eval_report.json": report.model_dump_json(indent=2).encode()})
    run.log_files({"held_out.npz": pack(val_rows, score_N)})
    run.log_files(figures.evaluation_figures(report, score_N, val_rows.y_N))
    run.log_files(figures.training_figure(fit.history, hold_out))
    run.log_model(student, val_rows.x_NF[:4])
    return Trained(report, run.where_to_look(), student)


def _evaluate(
    choice: CorpusChoice,
    student: OnnxStudent,
    name: str,
    val_source: str,
    run: tracking.Job,
    reporter: Reporter,
    folder: str = "",
) -> Evaluated:
    ffmpeg = find_ffmpeg()
    found = _open_corpus(choice, ffmpeg, reporter)
    sources = sorted({pair.source for pair in found.pairs})
    if val_source not in (ALL, *sources):
        raise InputError(f"val_source {val_source} is not in the corpus; choose one of: {', '.join(sources)}, or {ALL}")
    pairs = [pair for pair in found.pairs if val_source in (ALL, pair.source)]
    run.start(f"evaluate {name}")
    run.log_settings({"model": name, "corpus": choice.corpus, "val_source": val_source})
    scores, _ = _frame_scores(pairs, ffmpeg, choice.workers, reporter)
    table = FrameTable.from_clips(zip(pairs, scores, strict=True))
    hold_out = None if val_source == ALL else val_source
    report, score_N = evaluate(
        student, table, name=name, corpus=choice.name, libvmaf_version=ffmpeg.libvmaf_version, hold_out=hold_out
    )

    from vmaf_train import figures

    run.log_dataset(table, choice.name, "evaluation")
    run.log_report("eval", report)
    if not folder:
        run.log_tags({"dataset_digest": table.digest, **_tags_of(report)})
    run.log_files({"eval_report.json": report.model_dump_json(indent=2).encode()}, folder)
    run.log_files(figures.evaluation_figures(report, score_N, table.y_N), folder)
    return Evaluated(report, run.where_to_look())


def _tags_of(report: EvalReport) -> dict[str, str]:
    return {
        "teacher": report.teacher,
        "libvmaf_version": report.libvmaf_version or "none",
        "onnx_sha256": report.model.onnx_sha256,
    }


def _open_corpus(choice: CorpusChoice, ffmpeg: Ffmpeg | None, reporter: Reporter) -> Scan:
    """Find the pairs of the chosen corpus; the demo corpus is made first, or only named where there is no ffmpeg."""
    if ffmpeg:
        ClipCache(cache_root()).check_writable()
    if choice.corpus != DEMO:
        folder = Path(choice.corpus).expanduser().absolute()
        format = choice.format_or(YuvFormat())
    elif ffmpeg is None:
        return _demo_by_name(choice)
    else:
        format = YuvFormat(demo.WIDTH, demo.HEIGHT)
        if choice.format_or(format) != format:
            raise InputError(f"the demo corpus is {format}; leave assume_dims out, or pass a corpus folder")
        with reporter.making_demo(len(demo.clip_names())) as on_clip:
            folder = demo.make_demo_corpus(cache_root() / "_demo", ffmpeg.path, choice.workers, on_clip)
    found = scan(folder, format, choice.sources, choice.max_pairs, choice.strict)
    for line in found.left_out:
        reporter.say(f"left out: {line}")
    return found


def _demo_by_name(choice: CorpusChoice) -> Scan:
    """Name the demo's pairs without making them, for a smoke."""
    format = choice.format_or(YuvFormat(demo.WIDTH, demo.HEIGHT))
    pairs = [
        Pair(dis_source(dis), Path("ref", ref), Path("dis", dis), demo.FPS, demo.FRAMES, format)
        for ref, dis in demo.clip_names()
    ]
    return Scan(first_in_turn(pairs, choice.max_pairs))


def _zero_scores(pair: Pair) -> FrameScores:
    n_features = len(CANONICAL.features)
    return FrameScores(CANONICAL.features, np.zeros((pair.n_frames, n_features)), np.zeros(pair.n_frames))


def _frame_scores(
    pairs: Sequence[Pair], ffmpeg: Ffmpeg, workers: int, reporter: Reporter
) -> tuple[list[FrameScores], int]:
    """Return the frame scores of each pair, from the cache or extracted now, and how many were extracted."""
    cache = ClipCache(cache_root())
    identities = {pair: identity_of(pair, ffmpeg.libvmaf_version) for pair in pairs}
    scores = {pair: cache.load(pair, identity) for pair, identity in identities.items()}
    missing = [pair for pair, loaded in scores.items() if loaded is None]
    if missing:
        with reporter.extraction(len(missing), sum(pair.n_frames for pair in missing)) as advance:
            # Closed on the way out, so that a full disk ends the passes that still run.
            with closing(_extract(missing, ffmpeg, workers)) as passes:
                for pair, extracted in passes:
                    cache.store(pair, identities[pair], extracted)
                    scores[pair] = extracted
                    advance(pair.n_frames)
    return [loaded for loaded in scores.values() if loaded is not None], len(missing)


def _extract(pairs: Sequence[Pair], ffmpeg: Ffmpeg, workers: int) -> Generator[tuple[Pair, FrameScores]]:
    """Run the passes, several at once, and yield each as it ends; one that fails does not stop the others.

    Raises:
        ExtractionError: at the end, if any failed.
    """
    failed: list[ExtractionError] = []
    with ThreadPoolExecutor(workers) as pool:
        running = {pool.submit(ffmpeg.extract, pair): pair for pair in pairs}
        try:
            for done in as_completed(running):
                try:
                    extracted = done.result()
                except ExtractionError as error:
                    failed.append(error)
                else:
                    yield running[done], extracted
        except BaseException:
            # An interrupt, or a full disk in the caller: end the passes now instead of waiting for them.
            pool.shutdown(wait=False, cancel_futures=True)
            ffmpeg.stop()
            raise
    if failed:
        raise ExtractionError(
            f"{len(failed)} of {len(running)} pairs failed, the others are in the cache: "
            + "; ".join(map(str, failed[:3]))
        )
