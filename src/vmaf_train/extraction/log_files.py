"""Read libvmaf logs that users have: JSON, XML or CSV, of any libvmaf since version 1.

ffmpeg's libvmaf filter writes them (`log_fmt=json`, `xml`, `csv`), and so does libvmaf's tool
`vmaf` (`--json`, `--xml`, `--csv`). The form is recognised by the content. All three forms of one
pass hold the same digits. A CSV log states no version of libvmaf.
Source: libvmaf's output.c, tools/cli_parse.c.
"""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn
from xml.etree import ElementTree

import numpy as np

from vmaf_train.errors import InputError
from vmaf_train.features import FeatureSet, log_keys, option_words
from vmaf_train.files import read_whole

# JSON, the longest form, takes about 650 bytes per frame: this is more than 18 hours at 25 fps.
MAX_BYTES = 2**30
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
WHOLE = re.compile(r"[0-9]{1,15}")
SUBTITLES = re.compile(r"\{[0-9]+\}\{[0-9]+\}frame:")
FORMS = "write it with log_fmt=json, xml or csv (ffmpeg), or --json, --xml or --csv (vmaf)"


@dataclass(frozen=True, eq=False)
class LogFile:
    """A libvmaf log whose frames are in order: all frames of a video, or every n-th.

    Attributes:
        name: of the file, for errors.
        version: version of libvmaf; None if the log states none.
        step: distance between the logged frames; 1 unless the log was written with `n_subsample`.
        frames: what each frame logs, by key; not checked yet.
    """

    name: str
    version: str | None
    step: int
    frames: Sequence[Mapping[str, object]]

    def __len__(self) -> int:
        return len(self.frames)

    def missing(self, features: Sequence[str]) -> list[str]:
        """Return the features that the log does not hold, under any of their keys."""
        return [name for name in features if self._key_of(log_keys(name)) is None]

    def holds(self, key: str) -> bool:
        """Tell whether the first frame logs this key."""
        return key in self.frames[0]

    def features(self, wanted: Sequence[str]) -> np.ndarray:
        """Return features that the log holds: float64 of shape (frames, features), as logged.

        Raises:
            InputError: a frame lacks a value, or a value is no finite number.
        """
        keys = [self._key_of(log_keys(name)) or log_keys(name)[0] for name in wanted]
        return np.array([self.values(key) for key in keys]).T.copy()

    def values(self, key: str) -> np.ndarray:
        """Return what the frames log under a key: float64 of shape (frames,).

        Raises:
            InputError: a frame lacks the value, or the value is no finite number.
        """
        values_N = np.empty(len(self.frames))
        for index, logged in enumerate(self.frames):
            value = _number(logged.get(key))
            if value is None:
                raise InputError(
                    f"{self.name}: frame {index * self.step} has {_shown(logged.get(key))} for "
                    f"{key}; write the log again"
                )
            values_N[index] = value
        return values_N

    def _key_of(self, keys: Sequence[str]) -> str | None:
        return next((key for key in keys if self.holds(key)), None)


def read_log(path: Path, name: str = "") -> LogFile:
    """Read a log of libvmaf.

    Args:
        path: path of the file.
        name: name of the file for errors; empty is its path.

    Raises:
        InputError: the file cannot be read or is too large, it is no log in JSON, XML or CSV, or
            its frames are not in order.
    """
    name = name or str(path)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError(
                f"{name}: {size} bytes are more than the {MAX_BYTES} of a log; "
                "check that it is one, or write one log per part of the video"
            )
        # utf-8-sig: editors and spreadsheets write a byte-order mark first.
        text = read_whole(path, MAX_BYTES).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"no file {name}; pass the path of a libvmaf log") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is no libvmaf log, since it is no text; {FORMS}") from error
    except (OSError, ValueError) as error:  # ValueError: the path is none, as with a zero byte
        raise InputError(f"cannot read {name}: {error}; pass another log") from error
    return parse_log_file(text, name)


def parse_log_file(text: str, name: str) -> LogFile:
    """Read the text of a log in JSON, XML or CSV.

    Args:
        text: the content of the file.
        name: name of the file, for errors.

    Raises:
        InputError: the text is no log in one of these forms, or its frames are not in order.
    """
    read = _reader_of(text, name)
    try:
        version, numbers, frames = read(text)
    # RecursionError: JSON of many brackets. ParseError is a SyntaxError.
    except (ValueError, KeyError, TypeError, ElementTree.ParseError, RecursionError) as error:
        said = str(error) if isinstance(error, _MalformedError) else repr(error)
        raise InputError(
            f"{name} is no whole libvmaf log ({said[:200]}); write the log again"
        ) from error
    return LogFile(name, version, _step_of(numbers, name), frames)


def how_to_log(features: FeatureSet) -> str:
    """Return the options of ffmpeg's filter and of libvmaf's tool that log a feature set."""
    # "vif=vif_skip_scale0=true", or only "vif" without options
    tool = [
        "=".join(filter(None, [name, ":".join(option_words(options))]))
        for name, options in features.extractors.items()
    ]
    return (
        f"libvmaf=feature='{features.extraction}' in ffmpeg, or "
        f"{' '.join(f'--feature {each}' for each in tool)} of the tool vmaf"
    )


class _MalformedError(ValueError):
    """The text has the right form, but not the content of a log; the message is for people."""


# What a reader returns: libvmaf's version, the number of each frame, and what each frame logs.
_Read = tuple[str | None, list[int], list[Mapping[str, object]]]


def _reader_of(text: str, name: str) -> Callable[[str], _Read]:
    start = text[:1000].lstrip()
    if SUBTITLES.match(start):
        raise InputError(f"{name} is a log in the form of subtitles; {FORMS}")
    for first, read in (("{", _read_json), ("<", _read_xml), ("Frame,", _read_csv)):
        if start.startswith(first):
            return read
    raise InputError(f"{name} is no libvmaf log in JSON, XML or CSV; {FORMS}")


def _read_json(text: str) -> _Read:
    log = json.loads(text)
    frames: list[Mapping[str, object]] = [dict(frame["metrics"]) for frame in log["frames"]]
    numbers = [frame["frameNum"] for frame in log["frames"]]
    if not all(type(number) is int for number in numbers):
        raise _MalformedError("a frameNum is no whole number")
    return _version(log.get("version")), numbers, frames


def _read_xml(text: str) -> _Read:
    found = _XmlFrames()
    parser = ElementTree.XMLParser(target=found)
    parser.feed(text)
    parser.close()
    numbers = [_whole(frame.pop("frameNum", None)) for frame in found.frames]
    return _version(found.version), numbers, list(found.frames)


class _XmlFrames:
    """Collects the attributes of the frames while the parser runs, and builds no tree."""

    def __init__(self) -> None:
        self.version: str | None = None
        self.frames: list[dict[str, object]] = []
        self._open: list[str] = []

    def start(self, tag: str, attributes: dict[str, Any]) -> None:
        self._open.append(tag)
        if self._open[0] != "VMAF":
            raise _MalformedError(f"its root is <{tag[:40]}>, not <VMAF>")
        if len(self._open) == 1:
            self.version = attributes.get("version")
        elif self._open == ["VMAF", "frames", "frame"]:
            self.frames.append(attributes)

    def end(self, tag: str) -> None:
        self._open.pop()

    def doctype(self, *_: object) -> NoReturn:
        # Entities, which can grow without limit, are declared in a DOCTYPE. libvmaf writes none.
        raise _MalformedError("it has a DOCTYPE, which libvmaf does not write")


def _read_csv(text: str) -> _Read:
    try:
        rows = list(csv.reader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise _MalformedError(str(error)) from error
    # Each line of libvmaf ends in a comma, so the last cell is empty.
    header, *rows = [_without_end(row) for row in rows if row]
    if len(set(header)) < len(header):
        raise _MalformedError("two columns have the same name")
    for row in rows:
        if len(row) != len(header):
            # libvmaf leaves a value that it lacks out, and the next values move to the left.
            raise _MalformedError(
                f"the row of frame {row[0][:20]} has {len(row)} values for {len(header)} columns"
            )
    numbers = [_whole(row[0]) for row in rows]
    frames = [dict(zip(header[1:], row[1:], strict=True)) for row in rows]
    return None, numbers, list(frames)


def _without_end(row: list[str]) -> list[str]:
    return row[:-1] if len(row) > 1 and not row[-1] else row


def _whole(text: object) -> int:
    if not isinstance(text, str) or not WHOLE.fullmatch(text):
        raise _MalformedError(f"{_shown(text)} is no number of a frame")
    return int(text)


def _version(stated: object) -> str | None:
    return stated if isinstance(stated, str) and stated else None


def _number(value: object) -> float | None:
    """Return a logged value as a finite number; None if it is none."""
    if isinstance(value, str):
        # float() also takes "1_0", other digits than 0 to 9, and blanks.
        number = float(value) if NUMBER.fullmatch(value) else math.nan
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            return None
    else:
        return None
    return number if math.isfinite(number) else None


def _shown(value: object) -> str:
    """Return a logged value for an error: damaged files can hold long ones."""
    return "no value" if value is None else repr(value)[:40]


def _step_of(numbers: Sequence[int], name: str) -> int:
    """Return the distance between frames, after a check that they are 0, n, 2n and so on."""
    if not numbers:
        raise InputError(f"{name}: the log holds no frame; check the pass that wrote it")
    step = min((after - one for one, after in pairwise(numbers) if after > one), default=1)
    for index, number in enumerate(numbers):
        if number != index * step:
            raise InputError(
                f"{name}: the log has frame {str(number)[:20]} where frame {index * step} belongs; "
                "write the log again"
            )
    return step
