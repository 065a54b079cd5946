"""`prewarm`: fill the cache, so that libvmaf scores each pair only once."""

import os
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from vmaf_train.clips.pairs import Scan
from vmaf_train.errors import InputError
from vmaf_train.extraction.cache import cache_root
from vmaf_train.extraction.libvmaf import Ffmpeg, find_ffmpeg
from vmaf_train.extraction.passes import OpenWorkers, frame_scores, local_workers
from vmaf_train.features import CANONICAL, find_feature_set
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.frames.finding import open_pairs
from vmaf_train.frames.table import columns_of
from vmaf_train.reporting import Reporter


@dataclass(frozen=True)
class Prewarmed:
    """Result of a prewarm.

    Attributes:
        scan: the pairs, and the files that were left out.
        extracted: number of pairs that libvmaf scored now; the others were in the cache.
        frames: number of frames of all pairs.
        seconds: duration of the prewarm.
        cache: the cache folder.
    """

    scan: Scan
    extracted: int
    frames: int
    seconds: float
    cache: Path

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics that a run logs, by MLflow name."""
        return {
            "prewarm/pairs": len(self.scan.pairs),
            "prewarm/extracted": self.extracted,
            "prewarm/frames": self.frames,
        }


def prewarm(
    choice: CorpusChoice,
    reporter: Reporter,
    *,
    scheduler: str | None = None,
    features: str = CANONICAL.name,
) -> Prewarmed:
    """Fill the cache; under `mlflow run`, log the metrics to its run.

    Args:
        choice, reporter, scheduler, features: see `fill_cache`.

    Raises:
        InputError: the corpus, the ffmpeg, the cache folder or the cluster is not usable.
        ExtractionError: some pairs failed; the others are in the cache.
    """
    if "MLFLOW_RUN_ID" not in os.environ:
        return fill_cache(choice, reporter, scheduler=scheduler, features=features)

    from vmaf_train.tracking.run import tracked  # MLflow takes longer to import than a warm prewarm

    with tracked("prewarm") as run:
        done = fill_cache(choice, reporter, scheduler=scheduler, features=features)
        run.log_metrics(done.metrics)
        return done


def fill_cache(
    choice: CorpusChoice,
    reporter: Reporter,
    *,
    scheduler: str | None = None,
    features: str = CANONICAL.name,
) -> Prewarmed:
    """Let libvmaf score every pair that the cache does not hold.

    Args:
        choice: the corpus.
        reporter: follows the passes.
        scheduler: address of a Dask scheduler, or `local:N` for N workers; None uses this machine's
            cores.
        features: name of a feature set that every clip must have. One pass fills all sets.

    Raises:
        InputError: the corpus, the ffmpeg, the cache folder or the cluster is not usable.
        ExtractionError: some pairs failed; the others are in the cache.
    """
    started = time.monotonic()
    teachers = choice.teachers or (choice.teacher,)
    ffmpeg = find_ffmpeg(*teachers)
    found = open_pairs(choice, ffmpeg, reporter)
    if scheduler is None:
        workers = local_workers(ffmpeg, choice.cores)
    else:
        workers = _cluster_workers(scheduler, ffmpeg, reporter)

    sets = [find_feature_set(features, teacher.features) for teacher in teachers]
    wanted = list(
        dict.fromkeys(
            name
            for teacher, row in zip(teachers, sets, strict=True)
            for name in teacher.columns_for(row.features)
        )
    )
    extracted = frames = 0
    with closing(frame_scores(found.pairs, ffmpeg, workers, reporter)) as scored:
        for each in scored:
            # Raises if the clip lacks a feature.
            columns_of(each.scores.features, wanted)
            extracted += each.extracted
            frames += len(each.scores)
    return Prewarmed(found, extracted, frames, time.monotonic() - started, cache_root())


def _cluster_workers(scheduler: str, ffmpeg: Ffmpeg, reporter: Reporter) -> OpenWorkers:
    try:
        from vmaf_train.extraction.cluster import cluster_workers
    except ModuleNotFoundError as error:
        raise InputError(
            "a scheduler needs an extra; run: pip install 'vmaf-train[cluster]'"
        ) from error
    return cluster_workers(scheduler, ffmpeg, reporter)
