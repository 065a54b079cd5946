"""A folder of libvmaf logs as a corpus: features and scores that were measured already.

A log is named after the distorted file, `<source>_<quality>_<height>_<kbps>.json`, .xml or .csv; or
the file `pairs.csv` in the folder names the source of each log.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vmaf_train.clips.manifest import LOG_COLUMNS, read_log_sources
from vmaf_train.clips.netflix import DIS_GRAMMAR, source_of_clip
from vmaf_train.clips.pairs import first_in_turn
from vmaf_train.clips.video import FileStamp
from vmaf_train.errors import InputError
from vmaf_train.extraction.libvmaf import SCORE_KEY
from vmaf_train.extraction.log_files import LogFile, read_log
from vmaf_train.extraction.logs import FrameScores, check_possible
from vmaf_train.frames.choice import ALL, AUTO, LOG_SUFFIXES, CorpusChoice
from vmaf_train.frames.joining import check_no_copies
from vmaf_train.frames.table import FrameTable
from vmaf_train.reporting import Reporter
from vmaf_train.teacher.teachers import Teacher

SOURCES_FILE = "pairs.csv"
# A log has six decimals, with which the SVR agrees to 0.0002. Scores of other models differ by
# whole points.
TOLERANCE = 0.01
# What a corpus of CSV logs states, since they state no version.
UNKNOWN_VERSION = "unknown"
HINT = (
    f"name a log after its dis, {DIS_GRAMMAR.removesuffix('.yuv')}.json, or list it in "
    f"{SOURCES_FILE} with the columns {', '.join(LOG_COLUMNS)}"
)


@dataclass(frozen=True, eq=False)
class Logs:
    """The frames of a folder of logs.

    Attributes:
        table: the teacher's features, then those of its byproducts that every log holds.
        libvmaf_version: the version that every log states; "unknown" if one states none.
        stamps: name, size and modification time of each clip's log.
    """

    table: FrameTable
    libvmaf_version: str
    stamps: tuple[FileStamp, ...]


@dataclass(frozen=True, eq=False)
class _Clip:
    """A log that is used, its scores, and whose they are."""

    source: str
    clip: str
    stamp: FileStamp
    version: str | None
    scores: FrameScores


def read_log_folder(choice: CorpusChoice, reporter: Reporter, features: Sequence[str] = ()) -> Logs:
    """Read the logs of a folder.

    A log is left out, with one line, if it cannot be read, names no source, lacks frames, the
    teacher's score or a needed feature, or was scored by another model.

    Args:
        choice: the folder, and which of its clips to use.
        reporter: receives the lines.
        features: features that every log must hold, besides the teacher's.

    Raises:
        InputError: a log is left out and `strict` is on, no log is left, their libvmaf versions
            differ, or an option is only for videos.
    """
    if choice.frames != ALL or choice.assume_dims != AUTO:
        raise InputError(
            f"{choice.corpus} holds the frames as logged; leave frames and assume_dims out"
        )
    left_out: list[str] = []
    clips = list(_clips_of(choice, choice.teacher.columns_for(features), left_out))
    if choice.strict and left_out:
        raise InputError(
            f"{choice.path}: {len(left_out)} file(s) not usable and strict is on: "
            f"{'; '.join(left_out)}; remove them, or run without strict"
        )
    for line in left_out:
        reporter.say(f"left out: {line}")
    if not clips:
        raise InputError(f"no usable log in {choice.path}: {'; '.join([*left_out, HINT])}")

    clips = _chosen(clips, choice)
    version = _version_of(clips, choice)
    return Logs(_table_of(clips, choice.teacher), version, tuple(clip.stamp for clip in clips))


def _clips_of(choice: CorpusChoice, needed: Sequence[str], left_out: list[str]) -> Iterator[_Clip]:
    """Yield the usable logs of a folder; add a line to `left_out` for each other one."""
    used: dict[tuple[str, str], str] = {}
    for path, stated in _files_of(choice.path):
        name = path.relative_to(choice.path).as_posix()
        clip = name.removesuffix(path.suffix)
        source = stated or source_of_clip(path.stem)
        if source is None:
            left_out.append(f"{name}: no source; {HINT}")
            continue
        if (source, clip) in used:
            left_out.append(f"{name}: a second log of the clip of {used[source, clip]}")
            continue
        try:
            log = read_log(path, name)
            scores = _scores_of(log, needed, choice.teacher)
        except InputError as error:
            left_out.append(str(error))
            continue
        used[source, clip] = name
        stat = path.stat()
        stamp = FileStamp(name, stat.st_size, stat.st_mtime_ns)
        yield _Clip(source, clip, stamp, log.version, scores)


def _files_of(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """Yield the path of each file that may be a log, with the source that `pairs.csv` states."""
    listed = folder / SOURCES_FILE
    stated = read_log_sources(listed) if listed.is_file() else {}
    found = {path for path in folder.iterdir() if path.suffix in LOG_SUFFIXES and path != listed}
    # Of two logs of one clip the first is used, and a CSV log states no version.
    for path in sorted(found | stated.keys(), key=lambda path: (path.stem, path.suffix == ".csv")):
        yield path, stated.get(path)


def _scores_of(log: LogFile, needed: Sequence[str], teacher: Teacher) -> FrameScores:
    """Return what a corpus needs of a log.

    Raises:
        InputError: it is not there, or the score is that of another model.
    """
    if log.step > 1:
        raise InputError(f"{log.name}: it holds only one frame in {log.step}; a clip needs all")
    missing = log.missing(needed)
    if not log.holds(SCORE_KEY):
        missing.append(SCORE_KEY)
    if missing:
        raise InputError(f"{log.name}: it holds no {', '.join(missing)}")

    byproducts = [name for name in teacher.byproducts if not log.missing([name])]
    columns = tuple(dict.fromkeys((*needed, *byproducts)))
    x_NF, y_N = log.features(columns), log.values(SCORE_KEY)
    try:
        check_possible(dict(zip(columns, x_NF.T, strict=True)), {teacher.name: y_N})
    except ValueError as error:
        raise InputError(f"{log.name} is damaged: {error}; write the log again") from error
    expected_N = teacher.score(x_NF[:, : len(teacher.features)], teacher.features)
    worst = int(np.argmax(np.abs(expected_N - y_N)))
    if abs(expected_N[worst] - y_N[worst]) > TOLERANCE:
        raise InputError(
            f"{log.name}: scored by another model than {teacher.name}, which gives frame {worst} "
            f"{expected_N[worst]:.6f} where the log has {y_N[worst]:.6f}"
        )
    return FrameScores(columns, x_NF, {teacher.name: y_N})


def _chosen(clips: list[_Clip], choice: CorpusChoice) -> list[_Clip]:
    """Return the clips of the wanted sources, at most `max_pairs`, sorted by source and name."""
    known = {clip.source for clip in clips}
    if unknown := set(choice.sources) - known:
        raise InputError(
            f"{choice.path} has no log of source {', '.join(sorted(unknown))}; "
            f"it has {', '.join(sorted(known))}"
        )
    clips = [clip for clip in clips if not choice.sources or clip.source in choice.sources]
    clips.sort(key=lambda clip: (clip.source, clip.clip))
    return [clips[index] for index in first_in_turn([c.source for c in clips], choice.max_pairs)]


def _version_of(clips: Sequence[_Clip], choice: CorpusChoice) -> str:
    counts = Counter(clip.version for clip in clips)
    stated = sorted(version for version in counts if version is not None)
    if len(stated) > 1:
        listed = ", ".join(f"{counts[version]} of {version}" for version in stated)
        raise InputError(
            f"{choice.path} holds logs of different libvmaf versions: {listed}; "
            "give each version a folder of its own"
        )
    return UNKNOWN_VERSION if None in counts else stated[0]


def _table_of(clips: Sequence[_Clip], teacher: Teacher) -> FrameTable:
    common = set.intersection(*(set(clip.scores.features) for clip in clips))
    # The order in which a pass logs them, so that the digest is that of the same corpus.
    ordered = dict.fromkeys((*teacher.logged, *clips[0].scores.features))
    features = [name for name in ordered if name in common]
    table = FrameTable.from_clips([(clip, clip.scores) for clip in clips], features, teacher)
    check_no_copies(table)
    return table
