"""The encoders that make distorted clips, and ladders: the sizes and rates to encode at.

A new encoder is one row of ENCODERS.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vmaf_train.clips.video import SCALER
from vmaf_train.errors import ExtractionError, InputError
from vmaf_train.processes import Processes

LADDER_HINT = (
    "a rung is SIZE@RATE: a share of the height or lines, and crfN or kbit/s, "
    "such as 0.5@crf30 or 540p@800k"
)


@dataclass(frozen=True)
class Encoder:
    """An encoder of ffmpeg.

    Attributes:
        name: ffmpeg's name.
        options: ffmpeg's arguments for every encode, with one thread.
        crf_options: further arguments where a CRF is asked for.
        ladder: the default ladder; the encoders' CRFs are no common scale.
    """

    name: str
    options: tuple[str, ...]
    ladder: str
    crf_options: tuple[str, ...] = ()


X265_PARAMS = "log-level=none:pools=none:frame-threads=1"
ENCODERS = {
    row.name: row
    for row in (
        Encoder(
            "libx264",
            options=("-preset", "medium", "-threads", "1"),
            ladder="0.25@crf36,0.35@crf33,0.5@crf36,0.5@crf29,0.7@crf31,1@crf36,1@crf29,1@crf22",
        ),
        Encoder(
            "libx265",
            options=(
                "-preset",
                "medium",
                "-x265-params",
                "log-level=none:pools=none:frame-threads=1",
            ),
            ladder="0.25@crf36,0.35@crf34,0.5@crf37,0.5@crf30,0.7@crf32,1@crf37,1@crf31,1@crf24",
        ),
        Encoder(
            "libsvtav1",
            options=("-preset", "8", "-svtav1-params", "lp=1"),
            ladder="0.25@crf48,0.35@crf45,0.5@crf50,0.5@crf38,0.7@crf42,1@crf52,1@crf42,1@crf28",
        ),
        Encoder(
            "libvpx-vp9",
            options=("-deadline", "good", "-cpu-used", "4", "-threads", "1"),
            crf_options=("-b:v", "0"),
            ladder="0.25@crf46,0.35@crf44,0.5@crf50,0.5@crf38,0.7@crf42,1@crf52,1@crf42,1@crf28",
        ),
    )
}


@dataclass(frozen=True)
class Rung:
    """One encode of a ladder.

    Attributes:
        share: height of the encoded picture as a share of the source's; 0 if `lines` states it.
        lines: height of the encoded picture, in pixels; 0 if `share` states it.
        crf: constant rate factor; None if `kbps` states the rate.
        kbps: bitrate in kbit/s; None if `crf` states the rate.
    """

    share: float
    lines: int
    crf: int | None
    kbps: int | None

    @property
    def rate(self) -> str:
        """The rate, as a file name states it."""
        return f"crf{self.crf}" if self.crf is not None else f"{self.kbps}k"

    def height_of(self, height: int) -> int:
        """Return the encoded height for a source of this height, in pixels, even."""
        wanted = self.lines or self.share * height
        return height if wanted == height else max(2, 2 * round(wanted / 2))


def read_ladder(text: str) -> list[Rung]:
    """Read rungs with commas between them.

    Raises:
        InputError: a rung is malformed, enlarges the picture, or stands there twice.
    """
    rungs = [_rung(each.strip()) for each in text.split(",") if each.strip()]
    if not rungs or len(set(rungs)) < len(rungs):
        raise InputError(f"ladder {text!r} has no rung or one rung twice; {LADDER_HINT}")
    return rungs


def _rung(text: str) -> Rung:
    match = re.fullmatch(
        r"(?:(?P<share>[0-9]*\.?[0-9]+)|(?P<lines>[0-9]{1,5})p)@"
        r"(?:crf(?P<crf>[0-9]{1,2})|(?P<kbps>[1-9][0-9]{0,6})k)",
        text,
    )
    if not match:
        raise InputError(f"ladder: {text!r} is no rung; {LADDER_HINT}")
    share, lines = float(match["share"] or 0), int(match["lines"] or 0)
    if not (0 < share <= 1 or lines > 1):
        raise InputError(
            f"ladder: the size of {text!r} is not above 0 and at most 1; {LADDER_HINT}"
        )
    return Rung(
        share=share,
        lines=lines,
        crf=int(match["crf"]) if match["crf"] else None,
        kbps=int(match["kbps"]) if match["kbps"] else None,
    )


def encode_arguments(encoder: Encoder, rung: Rung) -> list[str]:
    """Return ffmpeg's arguments that encode video at the rate of a rung."""
    if rung.crf is None:
        rate = ["-b:v", f"{rung.kbps}k"]
    else:
        rate = ["-crf", str(rung.crf), *encoder.crf_options]
    return ["-c:v", encoder.name, *encoder.options, *rate]


def scale_filter(width: int, height: int, flags: Sequence[str] = ()) -> str:
    """Return the filter that scales a picture, with further flags of ffmpeg's scaler."""
    return f"scale={width}:{height}:flags={'+'.join([SCALER, *flags])}"


def find_encoders(names: Sequence[str], ffmpeg: Path) -> dict[str, frozenset[str]]:
    """Return the pixel formats that each named encoder takes, by its name.

    Args:
        names: of rows of ENCODERS; empty is all that the ffmpeg has.
        ffmpeg: path of the executable.

    Raises:
        InputError: an encoder is unknown, or the ffmpeg lacks one that is named.
    """
    if unknown := [name for name in names if name not in ENCODERS]:
        raise InputError(
            f"unknown encoder {', '.join(unknown)}; choose some of: {', '.join(ENCODERS)}, or all"
        )
    there = {name: formats for name in ENCODERS if (formats := _formats_of(name, ffmpeg))}
    if missing := [name for name in names if name not in there]:
        raise InputError(
            f"{ffmpeg} has no encoder {', '.join(missing)}; it has {', '.join(there) or 'none'}: "
            "choose some of these, or set VMAF_FFMPEG to another ffmpeg"
        )
    return {name: there[name] for name in names or there}


def _formats_of(encoder: str, ffmpeg: Path) -> frozenset[str]:
    """Return the pixel formats that an encoder takes; none if the ffmpeg lacks it."""
    command = [str(ffmpeg), "-hide_banner", "-h", f"encoder={encoder}"]
    try:
        said = Processes().run(command).decode(errors="replace")
    except ExtractionError:
        return frozenset()
    match = re.search(r"Supported pixel formats: (.*)", said)
    return frozenset(match[1].split()) if match else frozenset()


def version_of(ffmpeg: Path) -> str:
    """Return the first line that an ffmpeg says of itself: its version."""
    return Processes().run([str(ffmpeg), "-version"]).decode(errors="replace").splitlines()[0]
