"""Frame scores of many pairs: from the cache, or by libvmaf passes on local or remote workers.

`Workers` says where passes run. Everything else here is the same for local and remote workers.
"""

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass

from vmaf_train.clips.pairs import Pair
from vmaf_train.errors import ExtractionError
from vmaf_train.extraction.alignment import remark
from vmaf_train.extraction.cache import ClipCache, Identity, cache_root, identity_of
from vmaf_train.extraction.libvmaf import Ffmpeg
from vmaf_train.extraction.logs import FrameScores
from vmaf_train.extraction.schedule import Pass, passes_at_once, plan
from vmaf_train.features import check_size
from vmaf_train.reporting import Reporter

# Number of failed pairs that an error names.
NAMED_FAILURES = 3


@dataclass(frozen=True)
class Workers:
    """Where libvmaf passes run.

    Attributes:
        submit: starts a pass, or queues it.
        count: number of passes that run at once.
        cores: number of cores that all workers share when few passes are left; 1 keeps one core
            per pass.
        losses: exceptions of a pass that was lost together with its worker.
    """

    submit: Callable[[Pass], Future[list[FrameScores]]]
    count: int
    cores: int
    losses: tuple[type[Exception], ...] = (CancelledError,)


# Opens workers for some pairs; the workers end with the context.
OpenWorkers = Callable[[Sequence[Pair]], AbstractContextManager[Workers]]


@dataclass(frozen=True, eq=False)
class Scored:
    """A pair's scores, its index among the pairs asked for, and whether they were extracted now."""

    index: int
    scores: FrameScores
    extracted: bool


def local_workers(ffmpeg: Ffmpeg, cores: int) -> OpenWorkers:
    """Return a function that opens workers on this machine: one per core, fewer if memory is short.

    Args:
        ffmpeg: runs the passes.
        cores: number of cores to use.
    """

    @contextmanager
    def open_workers(pairs: Sequence[Pair]) -> Iterator[Workers]:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        count = passes_at_once(pairs, cores, memory)
        with ThreadPoolExecutor(count) as pool:
            try:
                yield Workers(lambda job: pool.submit(ffmpeg.extract, job), count, cores)
            except ExtractionError:
                # It is raised after the last pass, so no pass is left to stop.
                raise
            except BaseException:
                # An interrupt, or a full disk: stop the passes now.
                pool.shutdown(wait=False, cancel_futures=True)
                ffmpeg.stop()
                raise

    return open_workers


def frame_scores(
    pairs: Sequence[Pair], ffmpeg: Ffmpeg, open_workers: OpenWorkers, reporter: Reporter
) -> Generator[Scored]:
    """Yield the frame scores of each pair: first the cached ones, then the others once extracted.

    Yielded scores are not kept here, so memory does not grow with the corpus.

    Args:
        pairs: the pairs to score.
        ffmpeg: cached results must come from its version of libvmaf, and hold the
            scores of its teachers.
        open_workers: opens the workers that run the passes.
        reporter: follows the extraction, and receives a line for each clip that seems to be late.

    Raises:
        ExtractionError: some pairs failed; it is raised at the end, with the others in the cache.
        InputError: the cache cannot be written, a disk is full, or pictures are too small for a
            teacher.
    """
    cache = ClipCache(cache_root())

    def identity(pair: Pair) -> Identity:
        return identity_of(pair, ffmpeg.libvmaf_version)

    def warn(pair: Pair, scores: FrameScores) -> None:
        if late := remark(scores.offset):
            reporter.say(f"warning: {pair.clip}: {late}")

    wanted = tuple(teacher.name for teacher in ffmpeg.teachers)
    missing: dict[Pair, int] = {}
    lacking: dict[Pair, tuple[str, ...]] = {}
    for index, pair in enumerate(pairs):
        scores = cache.load(pair, identity(pair), ffmpeg.teachers)
        held = scores.scores if scores else {}
        if absent := tuple(name for name in wanted if name not in held):
            for teacher in ffmpeg.teachers:
                check_size(teacher.features, pair.format.width, pair.format.height, pair.clip)
            missing[pair], lacking[pair] = index, absent
        elif scores:
            warn(pair, scores)
            yield Scored(index, scores, extracted=False)
    if not missing:
        return

    cache.check_writable()
    n_frames = sum(pair.n_frames for pair in missing)
    with (
        reporter.extraction(len(missing), n_frames) as advance,
        open_workers(tuple(missing)) as workers,
        closing(_extract(lacking, workers)) as extracted,
    ):
        for pair, found in extracted:
            cache.store(pair, identity(pair), found)
            # If only a part was missing, the rest is in the cache.
            part = lacking[pair] != wanted
            scores = cache.load(pair, identity(pair), ffmpeg.teachers) if part else found
            assert scores, "it was stored a moment ago"
            warn(pair, scores)
            advance(pair.n_frames)
            yield Scored(missing[pair], scores, extracted=True)


def _extract(
    pairs: Mapping[Pair, tuple[str, ...]], workers: Workers
) -> Generator[tuple[Pair, FrameScores]]:
    """Run the passes; yield each pair's scores when its pass ends.

    Args:
        pairs: the pairs, with the names of the teachers that score each.
        workers: where the passes run.

    Raises:
        ExtractionError: some pairs failed; it is raised after all other pairs are done.
    """
    failed: list[str] = []
    losses: tuple[type[Exception], ...] = (ExtractionError, *workers.losses)
    todo = plan(tuple(pairs), workers.count, workers.cores, pairs)
    while todo:
        running = {workers.submit(job): job for job in todo}
        todo = []
        for done in as_completed(running):
            # Remove the future here, and its name below: both keep its scores in memory.
            job = running.pop(done)
            try:
                scored = done.result()
            except losses as error:
                if len(job.pairs) > 1:
                    # One bad pair fails its whole pass. Run every pair again, in separate passes.
                    todo += [Pass((pair,), job.threads, job.teachers) for pair in job.pairs]
                else:
                    failed.append(_reason(job.pairs[0], error))
            else:
                yield from zip(job.pairs, scored, strict=True)
            del done
    if failed:
        unnamed = len(failed) - NAMED_FAILURES
        more = f"; and {unnamed} more" if unnamed > 0 else ""
        raise ExtractionError(
            f"{len(failed)} of {len(pairs)} pairs failed, the others are in the cache: "
            f"{'; '.join(failed[:NAMED_FAILURES])}{more}"
        )


def _reason(pair: Pair, error: Exception) -> str:
    if isinstance(error, ExtractionError):
        return str(error)
    return f"{pair.clip}: lost with its worker ({str(error) or type(error).__name__})"
