"""`score --manifest`: score many pairs in parallel into one CSV table; a second call resumes it."""

import csv
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from vmaf_train.clips.manifest import ManifestRow, read_manifest
from vmaf_train.clips.video import open_video
from vmaf_train.commands.score import Scorer, VideoScore, load_scorer, score_video
from vmaf_train.errors import InputError, VmafTrainError
from vmaf_train.extraction.libvmaf import Ffmpeg, find_ffmpeg
from vmaf_train.processes import cores
from vmaf_train.reporting import Reporter

# The columns that identify a row of the table; the others are scores.
KEY = ("ref", "dis", "size", "pix_fmt", "model_sha256")
SCORES = ("frames", "mean", "low", "high", "confidence", "outside")
COLUMNS = (*KEY, *SCORES, "harmonic_mean", "percentile_5", "min")

Key = tuple[str, ...]


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
    model: str,
    size: str,
    pix_fmt: str,
    jobs: int,
) -> ManifestScored:
    """Score the pairs of a manifest that the table does not hold yet.

    Args:
        manifest: the CSV file of pairs.
        out: the CSV table, to which rows are added.
        reporter: follows the work, and receives one line per pair that failed.
        model: id of a shipped student, path of an .onnx file, or models:/ URI.
        size, pix_fmt: for raw files whose row does not state them.
        jobs: number of pairs that are scored at once; 0 is one per core.

    Raises:
        InputError: the model, the manifest or the table is not usable.
    """
    rows = read_manifest(manifest, size, pix_fmt)
    scorer = load_scorer(model)
    failed = score_rows(scorer, rows, out, find_ffmpeg(), reporter, workers=jobs or cores())
    return ManifestScored(out, failed)


def score_rows(
    scorer: Scorer,
    rows: Sequence[ManifestRow],
    out: Path,
    ffmpeg: Ffmpeg,
    reporter: Reporter,
    *,
    workers: int,
) -> int:
    """Score pairs in parallel; add a row to the table as soon as a pair is scored.

    Args:
        scorer: the student.
        rows: the pairs; those that the table already holds are skipped.
        out: the CSV table, to which rows are added.
        ffmpeg: extracts the features.
        reporter: follows the work, and receives one line per pair that failed.
        workers: number of pairs that are scored at once.

    Returns:
        The number of pairs that failed.

    Raises:
        InputError: the table has other columns, or ends within a row.
    """
    keys = {_key_of(row, scorer): row for row in rows}
    for key in _scored_before(out):
        keys.pop(key, None)

    failed = 0
    with out.open("a", newline="") as file, ThreadPoolExecutor(workers) as pool:
        writer = csv.DictWriter(file, COLUMNS)
        if not file.tell():
            writer.writeheader()
        todo = {pool.submit(_score_row, scorer, row, ffmpeg): key for key, row in keys.items()}
        try:
            with reporter.scoring(len(todo)) as step:
                for done in as_completed(todo):
                    identity = dict(zip(KEY, todo[done], strict=True))
                    dis = identity["dis"]
                    try:
                        score = done.result()
                    except VmafTrainError as error:
                        failed += 1
                        reporter.say(f"{dis}: {error}")
                    else:
                        writer.writerow({**identity, **score.pooled})
                        file.flush()
                        for remark in score.remarks:
                            reporter.say(f"{dis}: {remark}")
                    step(dis)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            ffmpeg.stop()
            raise
    return failed


def _score_row(scorer: Scorer, row: ManifestRow, ffmpeg: Ffmpeg) -> VideoScore:
    ref, dis = (open_video(path, row.size, row.pix_fmt) for path in (row.ref, row.dis))
    # Pairs run in parallel, so each uses one thread.
    return score_video(scorer, ref, dis, ffmpeg, threads=0)


def _key_of(row: ManifestRow, scorer: Scorer) -> Key:
    return (str(row.ref), str(row.dis), *row.stated, scorer.student.sha256)


def _scored_before(out: Path) -> set[Key]:
    """Return the keys of the rows that a table holds; none if there is no file yet."""
    if not out.is_file() or not out.stat().st_size:
        return set()
    with out.open(newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise InputError(
                f"{out} has other columns than a table of scores; pass another file as --out"
            )
        rows = list(reader)
    if not out.read_bytes().endswith(b"\n"):
        raise InputError(f"{out} ends within a row, as after a full disk; delete its last line")
    return {tuple(row[name] for name in KEY) for row in rows}
