"""Score videos with a student: extract only the features that it reads, all frames in one onnxruntime call.

Neither torch nor MLflow is imported here, so that a start costs little beside ffmpeg's.
"""

import csv
import json
import re
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vmaf_train.clips.layout import PIX_FMTS, count_frames, parse_dims
from vmaf_train.errors import ExtractionError, InputError, VmafTrainError
from vmaf_train.extraction.libvmaf import Ffmpeg, find_ffmpeg
from vmaf_train.extraction.schedule import cores
from vmaf_train.features import SCORE_MAX, SCORE_MIN, set_of
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.reporting import Reporter
from vmaf_train.shipping.finding import FOR_SCORE, find_student

DEFAULT_MODEL = "vmaf_tiny_exact"
RAW = ".yuv"
# Of a normal law: what 95 % of errors stay below, in deviations.
CONFIDENCE = 1.96
SIZE = re.compile(r"Stream #.*Video:.* ([0-9]+x[0-9]+)")
MANIFEST = ("ref", "dis")
KEY = ("ref", "dis", "size", "pix_fmt", "model_sha256")
COLUMNS = (*KEY, "frames", "mean", "low", "high", "harmonic_mean", "percentile_5", "min")


@dataclass(frozen=True)
class Video:
    """A video file; raw ones (.yuv) say neither size nor pixel format themselves.

    Attributes:
        path: of the file.
        size: "WxH" of a raw file in pixels; empty for others.
        pix_fmt: of a raw file, one of `PIX_FMTS`.
    """

    path: Path
    size: str = ""
    pix_fmt: str = "yuv420p"

    @property
    def stated(self) -> tuple[str, str]:
        """Size and pixel format as people stated them; empty where the file says so itself."""
        return (self.size, self.pix_fmt) if self.path.suffix == RAW else ("", "")

    @property
    def input(self) -> list[str]:
        """What ffmpeg is told to read it.

        Raises:
            InputError: no such file, or a raw one that is no whole number of frames of the stated size and format.
        """
        if not self.path.is_file():
            raise InputError(f"no file {self.path}; pass the paths of two videos, reference first")
        raw = []
        if self.path.suffix == RAW:
            if not self.size:
                raise InputError(
                    f"{self.path} is raw and does not say its size; pass --size WxH (and --pix-fmt)"
                )
            if self.pix_fmt not in PIX_FMTS:
                raise InputError(
                    f"pixel format {self.pix_fmt!r} of {self.path} is none of {', '.join(PIX_FMTS)}; convert it to one"
                )
            format = replace(parse_dims(self.size), pix_fmt=self.pix_fmt)
            count_frames(self.path, self.path.stat().st_size, format, "--size and --pix-fmt")
            raw = ["-f", "rawvideo", "-pix_fmt", format.pix_fmt, "-s", str(format)]
        return [*raw, "-i", f"file:{self.path.absolute()}"]


@dataclass(frozen=True, eq=False)
class Scorer:
    """A student that scores videos.

    Attributes:
        student: the ONNX file.
        rmse: its error on frames it was not trained on, from the sidecar beside it; None where there is none.
    """

    student: OnnxStudent
    rmse: float | None


@dataclass(frozen=True, eq=False)
class VideoScore:
    """A student's scores of a video.

    Attributes:
        score_N: float64 of shape (frames,), 0 to 100.
        rmse: the student's error as of `Scorer`.
        remarks: what makes the scores doubtful, for people.
    """

    score_N: np.ndarray
    rmse: float | None
    remarks: tuple[str, ...] = ()

    @property
    def pooled(self) -> dict[str, float | int | None]:
        """Mean with its interval, harmonic mean, 5th percentile and minimum over the frames.

        The harmonic mean is libvmaf's, of scores plus one. The interval is the mean plus and minus 1.96 times the
        student's RMSE on its held-out source: what to expect on content like that one, no bound for any other.
        """
        mean = float(self.score_N.mean())
        reach = None if self.rmse is None else CONFIDENCE * self.rmse
        return {
            "frames": len(self.score_N),
            "mean": mean,
            "low": None if reach is None else max(SCORE_MIN, mean - reach),
            "high": None if reach is None else min(SCORE_MAX, mean + reach),
            "harmonic_mean": float(1 / np.mean(1 / (self.score_N + 1)) - 1),
            "percentile_5": float(np.percentile(self.score_N, 5)),
            "min": float(self.score_N.min()),
        }


def score_files(ref: Path, dis: Path, model: str, size: str, pix_fmt: str, jobs: int) -> VideoScore:
    """Score a distorted video against its reference with a shipped, given or registered student.

    Raises:
        InputError: the model or a video is not usable, or the two differ in size.
        ExtractionError: ffmpeg failed.
    """
    videos = Video(ref, size, pix_fmt), Video(dis, size, pix_fmt)
    return score_video(load_scorer(model), *videos, find_ffmpeg(), jobs or cores())


def score_manifest(
    manifest: Path, out: Path, model: str, size: str, pix_fmt: str, jobs: int, reporter: Reporter
) -> int:
    """Score the pairs of a manifest that `out` does not have yet; return how many failed.

    Raises:
        InputError: the model, the manifest or `out` is not usable.
    """
    pairs = read_manifest(manifest, size, pix_fmt)
    return score_many(load_scorer(model), pairs, out, find_ffmpeg(), jobs or cores(), reporter)


def load_scorer(model: str) -> Scorer:
    """Load a shipped student by its id, an .onnx file by its path, or a registered one by its models:/ URI.

    Raises:
        InputError: there is none, or it reads no known feature set.
    """
    found = find_student(model, FOR_SCORE)
    return scorer_of(found.student, found.path.with_suffix(".json") if found.path else None)


def scorer_of(student: OnnxStudent, sidecar: Path | None = None) -> Scorer:
    """Return what scores with a student; the sidecar, where there is one of this very file, states its error.

    Raises:
        InputError: it reads no known feature set.
    """
    if set_of(student.features) is None:
        raise InputError(
            f"the model reads {', '.join(student.features)}, which is no known feature set; train another"
        )
    rmse = None
    if sidecar and sidecar.is_file():
        try:
            stated = json.loads(sidecar.read_text())
            rmse = float(stated["metrics"]["rmse"]) if stated["sha256"] == student.sha256 else None
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{sidecar} is no sidecar of ours ({error!r}); run: vmaf-train sync"
            ) from error
    return Scorer(student, rmse)


def score_video(scorer: Scorer, ref: Video, dis: Video, ffmpeg: Ffmpeg, threads: int) -> VideoScore:
    """Score a distorted video against its reference, frame by frame as far as both go.

    Raises:
        InputError: a file is missing or raw without a size, or the two differ in size.
        ExtractionError: ffmpeg failed, or its log is not whole.
    """
    wanted = set_of(scorer.student.features)
    assert wanted
    try:
        x_NF, remarks = ffmpeg.features(ref.input, dis.input, wanted, dis.path.name, threads)
    except ExtractionError as error:
        sizes = [_size_of(video, ffmpeg) for video in (ref, dis)]
        if sizes[0] and sizes[1] and sizes[0] != sizes[1]:
            scaled = f"scale={sizes[0].replace('x', ':')}:flags=bicubic"
            raise InputError(
                f"{dis.path} is {sizes[1]}, its reference {ref.path} {sizes[0]}; scale it first: {ffmpeg.path} "
                f"-i {dis.path} -vf {scaled} -c:v ffv1 {dis.path.stem}_{sizes[0]}.mkv"
            ) from error
        raise
    return VideoScore(scorer.student.score(x_NF), scorer.rmse, tuple(remarks))


def _size_of(video: Video, ffmpeg: Ffmpeg) -> str:
    """Return what ffmpeg says of a video's size, or nothing."""
    command = [str(ffmpeg.path), "-nostdin", "-hide_banner", *video.input]
    said = subprocess.run(command, capture_output=True, check=False).stderr.decode(errors="replace")
    found = SIZE.search(said)
    return found[1] if found else ""


def read_manifest(path: Path, size: str, pix_fmt: str) -> list[tuple[Video, Video]]:
    """Read pairs from a CSV file with the columns ref and dis, and size and pix_fmt where rows differ in them.

    Relative paths are looked up from the manifest's folder.

    Raises:
        InputError: it cannot be read, has no such columns or no row, or a row lacks one of its files.
    """
    try:
        # Spreadsheets put a byte-order mark first.
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the manifest {path}: {error}") from error
    if not rows or not set(MANIFEST) <= rows[0].keys():
        raise InputError(
            f"{path} has no row with the columns {' and '.join(MANIFEST)}; its first line must name them"
        )
    if short := [
        number for number, row in enumerate(rows, 1) if not all(row[name] for name in MANIFEST)
    ]:
        raise InputError(
            f"{path}: row {short[0]} of {len(rows)} lacks {' or '.join(MANIFEST)}; give it both or remove it"
        )
    shape = [(row.get("size") or size, row.get("pix_fmt") or pix_fmt) for row in rows]
    videos = [
        [Video(path.parent / row[name], *of) for name in MANIFEST]
        for row, of in zip(rows, shape, strict=True)
    ]
    return [(ref, dis) for ref, dis in videos]


def score_many(
    scorer: Scorer,
    pairs: Sequence[tuple[Video, Video]],
    out: Path,
    ffmpeg: Ffmpeg,
    workers: int,
    reporter: Reporter,
) -> int:
    """Score pairs side by side and append a row for each to a CSV file; those that it has already are left out.

    Returns:
        How many pairs failed; why is told as it happens.

    Raises:
        InputError: the CSV file is of another kind.
    """
    sha256 = scorer.student.sha256
    keys: dict[tuple[str, ...], tuple[Video, Video]] = {
        (str(ref.path), str(dis.path), *dis.stated, sha256): (ref, dis) for ref, dis in pairs
    }
    for key in _scored_before(out):
        keys.pop(key, None)
    failed = 0
    with out.open("a", newline="") as file, ThreadPoolExecutor(workers) as pool:
        writer = csv.DictWriter(file, COLUMNS)
        if not file.tell():
            writer.writeheader()
        todo = {
            pool.submit(score_video, scorer, ref, dis, ffmpeg, 0): key
            for key, (ref, dis) in keys.items()
        }
        try:
            with reporter.scoring(len(todo)) as step:
                for ended in as_completed(todo):
                    key = todo[ended]
                    try:
                        score = ended.result()
                    except VmafTrainError as error:
                        failed += 1
                        reporter.say(f"{key[1]}: {error}")
                    else:
                        writer.writerow({**dict(zip(KEY, key, strict=True)), **score.pooled})
                        file.flush()
                        for remark in score.remarks:
                            reporter.say(f"{key[1]}: {remark}")
                    step(key[1])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            ffmpeg.stop()
            raise
    return failed


def _scored_before(out: Path) -> set[tuple[str, ...]]:
    """Return the keys of the pairs that a table of scores holds; none where there is no file yet."""
    if not out.is_file() or not out.stat().st_size:
        return set()
    with out.open(newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise InputError(
                f"{out} has other columns than scores have; name another file as --out"
            )
        rows = list(reader)
    if not out.read_bytes().endswith(b"\n"):
        raise InputError(f"{out} ends within a row, as a full disk leaves it; delete its last line")
    return {tuple(row[name] for name in KEY) for row in rows}
