"""`score --manifest`: score many pairs in parallel into one CSV table; a second call resumes it."""

import csv
import fcntl
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from vmaf_train.clips.manifest import PairRow, read_pairs
from vmaf_train.clips.pairs import Offset
from vmaf_train.clips.video import NO_SCALE
from vmaf_train.commands.score import score_row
from vmaf_train.commands.scorer import Scorer
from vmaf_train.commands.video_score import ALL_FRAMES, Sampling, VideoScore, pooled_columns
from vmaf_train.errors import InputError, VmafTrainError
from vmaf_train.extraction.libvmaf import Ffmpeg, find_ffmpeg
from vmaf_train.processes import cores
from vmaf_train.reporting import Reporter

# The columns that identify a row of the table; those that say how a pair is compared; those that a
# sample adds. The others are scores.
KEY = ("ref", "dis", "size", "pix_fmt", "model_sha256")
PAIRING_KEY = ("scale", "offset", "pair_frames")
SAMPLE_KEY = ("every", "within", "seed")

Key = tuple[str, ...]


@dataclass(frozen=True)
class Columns:
    """The columns of a table: those that identify a row, and all."""

    key: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, sampling: Sampling, rows: Sequence[PairRow]) -> "Columns":
        """Return the columns for the scores of some pairs.

        Pairs that are compared as they are need no columns that say how, so the tables of older
        versions can be resumed.
        """
        key = KEY if all(_as_it_is(row) for row in rows) else (*KEY, *PAIRING_KEY)
        if sampling.all_frames:
            return cls(key, (*key, *pooled_columns(sampled=False)))
        key = (*key, *SAMPLE_KEY)
        scores = pooled_columns(sampled=True)
        return cls(key, (*key, *(name for name in scores if name not in key)))

    def key_of(self, row: PairRow, scorer: Scorer, sampling: Sampling) -> Key:
        """Return what identifies the row of a pair in the table."""
        size, pix_fmt = row.stated
        values = {
            "ref": str(row.ref),
            "dis": str(row.dis),
            "size": size,
            "pix_fmt": pix_fmt,
            "model_sha256": scorer.student.sha256,
            "scale": row.scale,
            "offset": str(row.offset or 0),
            "pair_frames": "{}:{}".format(*row.frames) if row.frames else "",
            "every": str(sampling.every),
            "within": "" if sampling.within is None else f"{sampling.within:g}",
            "seed": str(sampling.seed),
        }
        return tuple(values[name] for name in self.key)


@dataclass(frozen=True)
class ManifestScored:
    """Result of a manifest: the table, and the number of pairs that failed."""

    out: Path
    failed: int


def score_manifest(
    manifest: Path,
    out: Path,
    reporter: Reporter,
    *,
    scorer: Scorer,
    size: str,
    pix_fmt: str,
    jobs: int,
    sampling: Sampling = ALL_FRAMES,
    scale: str = NO_SCALE,
    offset: Offset = 0,
) -> ManifestScored:
    """Score the pairs of a manifest that the table does not hold yet.

    Args:
        manifest: the CSV file of pairs.
        out: the CSV table, to which rows are added.
        reporter: follows the work, and receives one line per pair that failed.
        scorer: the student or teacher.
        size, pix_fmt: for raw files whose row does not state them.
        jobs: number of pairs that are scored at once; 0 is one per core.
        sampling: which frames to score.
        scale, offset: for rows that do not state them; see `PairRow`.

    Raises:
        InputError: the manifest or the table is not usable.
    """
    rows = [
        replace(
            row,
            scale=row.scale or scale,
            offset=offset if row.offset is None else row.offset,
        )
        for row in read_pairs(manifest, size, pix_fmt)
    ]
    workers = jobs or cores()
    failed = score_rows(
        scorer, rows, out, find_ffmpeg(), reporter, workers=workers, sampling=sampling
    )
    return ManifestScored(out, failed)


def score_rows(
    scorer: Scorer,
    rows: Sequence[PairRow],
    out: Path,
    ffmpeg: Ffmpeg,
    reporter: Reporter,
    *,
    workers: int,
    sampling: Sampling = ALL_FRAMES,
) -> int:
    """Score pairs in parallel; add a row to the table as soon as a pair is scored.

    Args:
        scorer: the student.
        rows: the pairs; those that the table already holds are skipped.
        out: the CSV table, to which rows are added.
        ffmpeg: extracts the features.
        reporter: follows the work, and receives one line per pair that failed.
        workers: number of pairs that are scored at once.
        sampling: which frames to score.

    Returns:
        The number of pairs that failed.

    Raises:
        InputError: the table has other columns, ends within a row, or another command writes to it.
    """
    columns = Columns.of(sampling, rows)
    keys = {columns.key_of(row, scorer, sampling): row for row in rows}
    with out.open("a", newline="") as file, ThreadPoolExecutor(workers) as pool:
        _lock(file, out)
        for key in _scored_before(out, columns):
            keys.pop(key, None)
        writer = csv.DictWriter(file, columns.names)
        if not file.tell():
            writer.writeheader()
        running = {
            pool.submit(_score_row, scorer, row, ffmpeg, sampling): key for key, row in keys.items()
        }
        failed = 0
        try:
            with reporter.scoring(len(running)) as step:
                for done in as_completed(running):
                    identity = dict(zip(columns.key, running[done], strict=True))
                    scores = _scores_of(done, identity["dis"], reporter)
                    failed += scores is None
                    if scores:
                        writer.writerow({**identity, **scores})
                        file.flush()
                    step(identity["dis"])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            ffmpeg.stop()
            raise
    return failed


def _scores_of(done: Future[VideoScore], dis: str, reporter: Reporter) -> dict[str, object] | None:
    """Return the pooled scores of a finished pair, None if it failed; tell the reporter why."""
    try:
        score = done.result()
    except VmafTrainError as error:
        reporter.say(f"{dis}: {error}")
        return None
    for remark in score.remarks:
        reporter.say(f"{dis}: {remark}")
    return dict(score.pooled)


def _score_row(scorer: Scorer, row: PairRow, ffmpeg: Ffmpeg, sampling: Sampling) -> VideoScore:
    # Pairs run in parallel, so each uses one thread.
    return score_row(scorer, row, ffmpeg, threads=0, sampling=sampling)


def _lock(file: TextIO, out: Path) -> None:
    """Lock a table until it is closed, so that two commands do not write into each other."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise InputError(
            f"another command writes to {out}; wait for it, or pass another file as --out"
        ) from error


def _as_it_is(row: PairRow) -> bool:
    """Tell whether all frames of a pair are compared at their size, without an offset."""
    return row.scale in ("", NO_SCALE) and not row.offset and not row.frames


def _scored_before(out: Path, columns: Columns) -> set[Key]:
    """Return the keys of the rows that a table holds; none if there is no file yet."""
    if not out.is_file() or not out.stat().st_size:
        return set()
    with out.open(newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != columns.names:
            raise InputError(
                f"{out} has other columns than these scores; pass another file as --out"
            )
        rows = list(reader)
    if not out.read_bytes().endswith(b"\n"):
        raise InputError(f"{out} ends within a row, as after a full disk; delete its last line")
    return {tuple(row[name] for name in columns.key) for row in rows}
