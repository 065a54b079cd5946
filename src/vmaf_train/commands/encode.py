"""`encode`: make a corpus of compressed pairs from reference videos; a second call resumes it."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from threading import Lock

from vmaf_train.clips.encoders import ENCODERS, find_encoders, read_ladder, version_of
from vmaf_train.clips.encoding import (
    Clip,
    Making,
    clips_of,
    cut_clip,
    encode_clip,
    in_parallel,
    scene_starts,
)
from vmaf_train.clips.looking import Look, Looks, unusable
from vmaf_train.clips.pair_list import plain_name
from vmaf_train.clips.video import SCALE_TO_REF
from vmaf_train.errors import ExtractionError, InputError
from vmaf_train.extraction.libvmaf import find_ffmpeg
from vmaf_train.files import remove_leftovers, write_whole
from vmaf_train.processes import Processes, cores
from vmaf_train.reporting import Reporter

LIST, RECORD = "pairs.csv", "encoded.jsonl"
COLUMNS = ("ref", "dis", "source", "scale")
# What a folder of videos is searched for.
CONTAINERS = ".mp4 .m4v .mov .mkv .webm .y4m .avi .ts .m2ts .mts .mxf .ivf .mpg"
STREAMS = ".264 .h264 .265 .hevc"
SUFFIXES = frozenset([*CONTAINERS.split(), *STREAMS.split()])
DEFAULT = "default"


@dataclass(frozen=True)
class Ladder:
    """What to make of each source.

    Attributes:
        encoders: names of encoders; empty is all that the ffmpeg has.
        rungs: the ladder, as text; "default" is that of each encoder.
        seconds: length of a clip; 0 takes whole videos.
        clips: clips per source; 0 takes one of each scene that is long enough.
    """

    encoders: tuple[str, ...] = ("libx264",)
    rungs: str = DEFAULT
    seconds: float = 0.0
    clips: int = 0


@dataclass(frozen=True)
class Encoded:
    """Result: the list of pairs, how many it holds and how many are new, and what failed."""

    pairs: Path
    complete: int
    made: int
    failed: tuple[str, ...]


@dataclass
class _Record:
    """What the files of a corpus were made of, by their names; one line per file."""

    path: Path
    made_of: dict[str, str] = field(default_factory=dict)

    @classmethod
    def at(cls, path: Path) -> "_Record":
        record = cls(path)
        for line in path.read_text().splitlines() if path.is_file() else ():
            try:
                entry = json.loads(line)
                record.made_of[entry["name"]] = entry["made_of"]
            except (ValueError, KeyError, TypeError):
                # A killed process can leave a torn line. Its file is made again.
                continue
        return record

    def holds(self, making: Making) -> bool:
        there = (making.folder / making.name).is_file()
        return there and self.made_of.get(making.name) == making.made_of

    def add(self, making: Making) -> None:
        with self.path.open("a") as file:
            # The line break comes first, since the last line can be torn.
            file.write("\n" + json.dumps({"name": making.name, "made_of": making.made_of}))
        self.made_of[making.name] = making.made_of


# Called with a file that was to be made, and the error that it failed with, if any.
Done = Callable[[Making, BaseException | None], None]
# Makes files.
Make = Callable[[Sequence[Making], Done], None]


@dataclass
class _Plan:
    """The files to make: the references that are cut, the encodes of each clip, and what failed."""

    cuts: list[Making] = field(default_factory=list)
    encodes: list[tuple[Clip, Making]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@dataclass
class _Progress:
    """Notes each made file in the record, and each failure in the plan; threads share it."""

    record: _Record
    plan: _Plan
    step: Callable[[str], None]
    made: int = 0
    lock: Lock = field(default_factory=Lock)

    def done(self, making: Making, error: BaseException | None) -> None:
        with self.lock:
            if error is None:
                self.record.add(making)
                self.made += 1
            else:
                self.plan.failed.append(f"{making.name}: {error}")
            self.step(making.name)


def encode(
    videos: Sequence[Path],
    out: Path,
    ladder: Ladder,
    reporter: Reporter,
    *,
    jobs: int = 0,
    scheduler: str | None = None,
) -> Encoded:
    """Make a corpus of compressed pairs, and its list `pairs.csv`.

    Files that were made before, of the same source in the same way, are kept. The list is written
    even after an interrupt, with the pairs that are complete.

    Args:
        videos: reference videos, or folders of them.
        out: folder of the corpus.
        ladder: what to make of each source.
        reporter: follows the work, and receives a line per file that is left out.
        jobs: how many encodes at once; 0 is one per core.
        scheduler: address of a Dask scheduler, or `local:N`; None uses this machine's cores.

    Raises:
        InputError: no video is usable, an option is malformed, or the folder cannot be written.
    """
    ffmpeg, processes = find_ffmpeg().path, Processes()
    made_by, workers = version_of(ffmpeg), jobs or cores()
    plan = _plan(videos, out, ladder, ffmpeg, processes, workers)
    record = _Record.at(out / RECORD)
    cuts = [making for making in plan.cuts if not record.holds(making)]
    encodes = [pair for pair in plan.encodes if not record.holds(pair[1])]
    with (
        _maker(scheduler, workers, ffmpeg, processes, made_by, reporter) as make,
        reporter.making("encode", len(cuts) + len(encodes)) as step,
    ):
        progress = _Progress(record, plan, step)
        try:
            make(cuts, progress.done)
            uncut = {making.name for making in cuts if not record.holds(making)}
            make([each for clip, each in encodes if clip.ref not in uncut], progress.done)
        finally:
            complete = [pair for pair in plan.encodes if record.holds(pair[1])]
            _write_list(out / LIST, complete)
    if not complete:
        why = "; ".join(plan.failed) or "no clip is long enough"
        raise InputError(f"nothing could be encoded: {why}")
    for line in plan.failed:
        reporter.say(f"left out: {line}")
    return Encoded(out / LIST, len(complete), progress.made, tuple(plan.failed))


def _plan(
    videos: Sequence[Path],
    out: Path,
    ladder: Ladder,
    ffmpeg: Path,
    processes: Processes,
    workers: int,
) -> _Plan:
    """Return the files to make; make the folders, and clear what a killed process left there."""
    formats = find_encoders(ladder.encoders, ffmpeg)
    rungs = {
        name: read_ladder(ENCODERS[name].ladder if ladder.rungs == DEFAULT else ladder.rungs)
        for name in formats
    }
    files = _files_in(videos)
    for kind in ("ref", "dis"):
        (out / kind).mkdir(parents=True, exist_ok=True)
        remove_leftovers(out / kind)

    plan, made_by = _Plan(), version_of(ffmpeg)
    usable = _usable(files, Looks(ffmpeg, jobs=workers), plan.failed)
    for clip in _clips(usable, ladder, ffmpeg, processes, plan.failed):
        if clip.frames:
            plan.cuts.append(cut_clip(clip, out, made_by))
        for name, wanted in rungs.items():
            if clip.seen.pix_fmt not in formats[name]:
                plan.failed.append(f"{clip.name}: {name} does not take {clip.seen.pix_fmt}")
                continue
            # Rungs of one height and rate are one encode.
            smaller = [r for r in wanted if r.height_of(clip.seen.height) <= clip.seen.height]
            makings = {encode_clip(clip, name, rung, out, made_by) for rung in smaller}
            plan.encodes += [(clip, each) for each in sorted(makings, key=lambda m: m.name)]
    return plan


def _files_in(videos: Sequence[Path]) -> list[Path]:
    """Return the video files among paths and in folders among them, in order of name.

    Raises:
        InputError: a path does not exist, or there is no video.
    """
    files = []
    for path in videos:
        if path.is_dir():
            files += sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES)
        elif path.is_file():
            files.append(path)
        else:
            raise InputError(f"no file {path}; pass videos, or folders of videos")
    if not files:
        raise InputError(f"no video in {', '.join(map(str, videos))}; pass videos, or folders")
    return files


def _usable(files: Sequence[Path], looks: Looks, failed: list[str]) -> dict[str, tuple[Path, Look]]:
    """Return the usable videos by the name of their source; tell `failed` what others lack."""
    usable: dict[str, tuple[Path, Look]] = {}
    for path, seen in looks.at(files).items():
        if isinstance(seen, InputError):
            failed.append(str(seen))
        elif fault := unusable(path, seen):
            failed.append(fault)
        elif (name := plain_name(path.stem)) in usable:
            raise InputError(f"{usable[name][0]} and {path} are both the source {name}; rename one")
        else:
            usable[name] = (path, seen)
    return usable


def _clips(
    usable: Mapping[str, tuple[Path, Look]],
    ladder: Ladder,
    ffmpeg: Path,
    processes: Processes,
    failed: list[str],
) -> Iterator[Clip]:
    """Yield the clips of each source; add a line to `failed` for one that gives none."""
    for source, (video, seen) in usable.items():
        length = round(ladder.seconds * (seen.fps or 25))
        try:
            starts = scene_starts(video, ffmpeg, processes) if length else [0]
        except ExtractionError as error:
            failed.append(f"{video}: {error}")
            continue
        found = clips_of(source, video, seen, starts, length, ladder.clips)
        if not found:
            failed.append(f"{video} has no scene of {ladder.seconds:g} s; pass fewer --seconds")
        yield from found


@contextmanager
def _maker(
    scheduler: str | None,
    jobs: int,
    ffmpeg: Path,
    processes: Processes,
    made_by: str,
    reporter: Reporter,
) -> Iterator[Make]:
    """Yield a function that makes files on this machine or on a cluster."""
    if scheduler is None:

        def make(todo: Sequence[Making], done: Done) -> None:
            def work(making: Making) -> None:
                try:
                    making.run(ffmpeg, processes)
                except ExtractionError as error:
                    done(making, error)
                else:
                    done(making, None)

            in_parallel(work, todo, jobs, processes)

        yield make
        return

    try:
        from vmaf_train.extraction.cluster import cluster_pool, make_clip
    except ModuleNotFoundError as error:
        raise InputError(
            "a scheduler needs an extra; run: pip install 'vmaf-train[cluster]'"
        ) from error
    with cluster_pool(scheduler, reporter) as (pool, _):

        def make_there(todo: Sequence[Making], done: Done) -> None:
            running = {pool.submit(make_clip, making, made_by): making for making in todo}
            for future in as_completed(running):
                error = future.exception()
                if error and not isinstance(error, ExtractionError):
                    raise error
                done(running[future], error)

        yield make_there


def _write_list(path: Path, complete: Sequence[tuple[Clip, Making]]) -> None:
    """Write pairs.csv; encodes of another size are scaled to their reference."""
    text = StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows((clip.ref, making.name, clip.source, SCALE_TO_REF) for clip, making in complete)
    write_whole(path, text.getvalue().encode())
