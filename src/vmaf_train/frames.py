"""From the choice of a corpus to frame scores: its pairs, and one libvmaf pass for each the cache does not hold."""

import os
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vmaf_train import demo
from vmaf_train.cache import ClipCache, cache_root, identity_of
from vmaf_train.corpus import Pair, Scan, YuvFormat, dis_source, first_in_turn, parse_dims, scan
from vmaf_train.errors import ExtractionError, InputError
from vmaf_train.features import CANONICAL
from vmaf_train.libvmaf import Ffmpeg, FrameScores
from vmaf_train.reporting import Reporter

DEMO = "demo"
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


def open_corpus(choice: CorpusChoice, ffmpeg: Ffmpeg | None, reporter: Reporter) -> Scan:
    """Find the pairs of the chosen corpus; the demo corpus is made first, or only named where there is no ffmpeg.

    Raises:
        InputError: no usable corpus, or a cache that cannot be written.
    """
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


def zero_scores(pair: Pair) -> FrameScores:
    """Return what a smoke learns from: a pair's frames with nothing but zeros."""
    n_features = len(CANONICAL.features)
    return FrameScores(CANONICAL.features, np.zeros((pair.n_frames, n_features)), np.zeros(pair.n_frames))


def frame_scores(
    pairs: Sequence[Pair], ffmpeg: Ffmpeg, workers: int, reporter: Reporter
) -> tuple[list[FrameScores], int]:
    """Return the frame scores of each pair, from the cache or extracted now, and how many were extracted.

    Raises:
        ExtractionError: some pairs failed; the others are in the cache.
    """
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
