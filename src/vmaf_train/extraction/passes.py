"""Frame scores of many pairs: from the cache, or by libvmaf passes on this machine's cores or on a cluster's.

Where the passes run is a `Passes`; everything else here is the same for one machine and for many.
"""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from vmaf_train.clips.layout import Pair
from vmaf_train.errors import ExtractionError
from vmaf_train.extraction.cache import ClipCache, cache_root, identity_of
from vmaf_train.extraction.libvmaf import Ffmpeg, FrameScores
from vmaf_train.extraction.schedule import Pass, passes_at_once, plan
from vmaf_train.reporting import Reporter

TOLD = 3


@dataclass(frozen=True)
class Passes:
    """Where libvmaf passes run.

    Attributes:
        submit: start a pass, or queue it.
        workers: passes at once.
        cores: what to share among fewer passes than workers; 1 leaves each of them on one core.
        losses: what the place itself raises where a pass was lost.
    """

    submit: Callable[[Pass], Future[list[FrameScores]]]
    workers: int
    cores: int
    losses: tuple[type[Exception], ...] = (CancelledError,)


Place = Callable[[Sequence[Pair]], AbstractContextManager[Passes]]


class Scored(NamedTuple):
    """A pair's scores, its place among the pairs asked for, and whether they were extracted now."""

    place: int
    scores: FrameScores
    extracted: bool


def on_this_machine(ffmpeg: Ffmpeg, cores: int) -> Place:
    """Return the place that runs passes on `cores` cores of this machine, as many as its memory bears."""

    @contextmanager
    def place(pairs: Sequence[Pair]) -> Iterator[Passes]:
        workers = passes_at_once(
            pairs, cores, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        )
        with ThreadPoolExecutor(workers) as pool:
            try:
                yield Passes(lambda job: pool.submit(ffmpeg.extract, job), workers, cores)
            except ExtractionError:
                # Told at the end, when no pass runs any more.
                raise
            except BaseException:
                # An interrupt, or a full disk: end the passes now instead of waiting for them.
                pool.shutdown(wait=False, cancel_futures=True)
                ffmpeg.stop()
                raise

    return place


def frame_scores(
    pairs: Sequence[Pair], libvmaf_version: str, place: Place, reporter: Reporter
) -> Generator[Scored]:
    """Yield the frame scores of each pair: first what the cache holds, then the others as they are extracted.

    Nothing that was yielded is kept, so memory does not grow with the corpus.

    Raises:
        ExtractionError: at the end, if some pairs failed; the others are in the cache.
    """
    cache = ClipCache(cache_root())
    missing: dict[Pair, int] = {}
    for index, pair in enumerate(pairs):
        scores = cache.load(pair, identity_of(pair, libvmaf_version))
        if scores is None:
            missing[pair] = index
        else:
            yield Scored(index, scores, extracted=False)
    if missing:
        with (
            reporter.extraction(len(missing), sum(pair.n_frames for pair in missing)) as advance,
            place(tuple(missing)) as passes,
            closing(_extract(tuple(missing), passes)) as extracted,
        ):
            for pair, scores in extracted:
                cache.store(pair, identity_of(pair, libvmaf_version), scores)
                advance(pair.n_frames)
                yield Scored(missing[pair], scores, extracted=True)


def _extract(pairs: Sequence[Pair], passes: Passes) -> Generator[tuple[Pair, FrameScores]]:
    """Run the passes and yield each pair's scores as they end; a pair that fails does not stop the others.

    Raises:
        ExtractionError: at the end, if any failed.
    """
    failed: list[str] = []
    losses: tuple[type[Exception], ...] = (ExtractionError, *passes.losses)
    todo = plan(pairs, passes.workers, passes.cores)
    while todo:
        running = {passes.submit(job): job for job in todo}
        todo = []
        for done in as_completed(running):
            # Taken out, so that what was yielded is not kept.
            job = running.pop(done)
            try:
                scored = done.result()
            except losses as error:
                if len(job.pairs) > 1:
                    # One of them spoils the pass for all: each alone tells which.
                    todo += [Pass((pair,), job.threads) for pair in job.pairs]
                elif isinstance(error, ExtractionError):
                    failed.append(str(error))
                else:
                    failed.append(
                        f"{job.pairs[0].clip}: lost with its worker ({str(error) or type(error).__name__})"
                    )
            else:
                yield from zip(job.pairs, scored, strict=True)
            del done
    if failed:
        more = f"; and {len(failed) - TOLD} more" if len(failed) > TOLD else ""
        raise ExtractionError(
            f"{len(failed)} of {len(pairs)} pairs failed, the others are in the cache: {'; '.join(failed[:TOLD])}{more}"
        )
