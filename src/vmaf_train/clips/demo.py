"""The embedded demo corpus: nine procedural sources, eight rungs each, made with ffmpeg.

The sources are ffmpeg's generators. Motion, blur and grain are added until libvmaf's features
spread as widely as in film. File names follow the Netflix layout. The same ffmpeg makes the same
bytes.
"""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path

from filelock import FileLock

from vmaf_train.clips.encoders import scale_filter
from vmaf_train.clips.encoding import in_parallel
from vmaf_train.clips.video import Video, YuvFormat, raw_arguments
from vmaf_train.errors import InputError
from vmaf_train.processes import Processes

# Pixels across and down, frames per clip, frames per second.
WIDTH, HEIGHT, FRAMES, FPS = 320, 180, 48, 25
FORMAT = YuvFormat(WIDTH, HEIGHT)


@dataclass(frozen=True)
class DemoSource:
    """A source of the demo corpus.

    Attributes:
        name: the source in the file names.
        graph: the ffmpeg filter graph that draws it.
        kbps: bitrate of its highest rung, in kbit/s.
    """

    name: str
    graph: str
    kbps: int


@dataclass(frozen=True)
class Rung:
    """One encode of the ladder.

    Attributes:
        label: the quality in the file names.
        height: height of the encoded picture, in pixels.
        share: bitrate, as a share of the source's `kbps`.
    """

    label: int
    height: int
    share: float


def _chain(*filters: str) -> str:
    """Return a filter graph that applies filters one after the other."""
    return ",".join(filters)


def _pan(x: str, y: str) -> str:
    """Cut a moving window out of a larger picture.

    Args:
        x, y: upper left corner of the window, as ffmpeg expressions of the frame number n.
    """
    return f"crop={WIDTH}:{HEIGHT}:x='{x}':y='{y}'"


SOURCES = (
    DemoSource(
        name="Colony",
        graph=_chain(
            "life=size=80x46:rate=25:mold=6:ratio=0.25:random_seed=7:life_color=#e8d8a0:"
            "death_color=#305060:mold_color=#506050",
            "tmix=frames=5",
            "scale=480:276:flags=bicubic",
            "gblur=sigma=2",
            "noise=c0s=5:c0f=t:c0_seed=8",
            _pan("40+n", "30"),
        ),
        kbps=520,
    ),
    DemoSource(
        name="Dunes",
        graph=_chain(
            "gradients=size=480x270:rate=25:nb_colors=6:seed=4:speed=0.01:type=linear:x0=0:"
            "y0=0:x1=480:y1=200:c0=#303030:c1=#d0d0d0:c2=#505050:c3=#b0b0b0:c4=#404040:"
            "c5=#e0e0e0",
            "format=yuv420p",
            "eq=contrast=1.5",
            "noise=c0s=70:c0_seed=5",
            "gblur=sigma=0.9",
            _pan("2*n", "40+n/2"),
        ),
        kbps=700,
    ),
    DemoSource(
        name="Fractal",
        graph=_chain(
            "mandelbrot=size=400x226:rate=25:maxiter=400:start_scale=0.5:end_scale=0.02:"
            "end_pts=120:start_x=-0.7436:start_y=-0.1318",
            "gblur=sigma=0.8",
            _pan("40", "20"),
            "noise=c0s=4:c0f=t:c0_seed=6",
        ),
        kbps=700,
    ),
    DemoSource(
        name="Gasket",
        graph=_chain(
            "sierpinski=size=640x384:rate=25:seed=3:jump=12:type=carpet",
            "gblur=sigma=1.5",
            "eq=contrast=0.5:brightness=0.05",
            _pan("160+8*sin(n/8)", "60+6*cos(n/9)"),
            "noise=c0s=4:c0f=t:c0_seed=9",
        ),
        kbps=520,
    ),
    DemoSource(
        name="Mosaic",
        graph=_chain(
            "testsrc2=size=640x360:rate=25",
            "scale=400:226:flags=area",
            "rotate=angle=0.4+n/400:ow=iw:oh=ih",
            "gblur=sigma=0.7",
            "noise=c0s=8:c0_seed=12",
            _pan("10+n", "20"),
        ),
        kbps=420,
    ),
    DemoSource(
        name="Ripples",
        graph=_chain(
            f"zoneplate=size={WIDTH}x{HEIGHT}:rate=25:kx2=20:ky2=14:kt=1:kxt=0",
            "gblur=sigma=0.8",
            "eq=contrast=0.5",
            "noise=c0s=12:c0_seed=3",
        ),
        kbps=320,
    ),
    DemoSource(
        name="Sand",
        graph=_chain(
            "color=gray:size=160x90:rate=25",
            "noise=c0s=50:c0_seed=2",
            "scale=480:270:flags=bicubic",
            "noise=c0s=40:c0_seed=3",
            "gblur=sigma=1.0",
            _pan("80+30*sin(n/12)", "40"),
            "noise=c0s=6:c0f=t:c0_seed=4",
        ),
        kbps=800,
    ),
    DemoSource(
        name="Strata",
        graph=_chain(
            "cellauto=size=120x68:rate=25:rule=30:random_seed=5:scroll=1:start_full=1",
            "scale=480:272:flags=bicubic",
            "gblur=sigma=2.5",
            "eq=contrast=0.5",
            "noise=c0s=14:c0_seed=14",
            _pan("80", "40"),
        ),
        kbps=600,
    ),
    DemoSource(
        name="Weather",
        graph=_chain(
            "perlin=size=368x202:rate=25:octaves=5:persistence=0.7:xscale=4:yscale=4:"
            "tscale=0.6:random_mode=seed:random_seed=21",
            "eq=contrast=1.6",
            _pan("n", "10"),
        ),
        kbps=800,
    ),
)

RUNGS = (
    Rung(10, 72, 0.03),
    Rung(20, 72, 0.05),
    Rung(30, 90, 0.09),
    Rung(40, 108, 0.15),
    Rung(50, 126, 0.22),
    Rung(60, 144, 0.32),
    Rung(70, 180, 0.50),
    Rung(80, 180, 1.00),
)

# Size of the corpus, in MB.
MEGABYTES = len(SOURCES) * (1 + len(RUNGS)) * FRAMES * FORMAT.frame_bytes // 10**6


def clip_names() -> list[tuple[str, str]]:
    """Return the file names (ref, dis) of all pairs, in order; makes no file."""
    return [(_ref_name(source), _dis_name(source, rung)) for source in SOURCES for rung in RUNGS]


def make_demo_corpus(
    folder: Path, ffmpeg: Path, jobs: int, on_clip: Callable[[str], None] = lambda clip: None
) -> Path:
    """Make the demo corpus below `folder` if it is missing; return the folder of `ref/` and `dis/`.

    Several processes can call this at once; one of them makes the corpus. A killed process leaves
    no folder that looks finished. A corpus of another recipe or ffmpeg is kept: another process may
    be reading it.

    Args:
        folder: holds demo corpora and nothing else.
        ffmpeg: path of the executable. The corpus is named by a digest of its version and of the
            recipe, since both decide the bytes.
        jobs: number of ffmpeg processes that run at once.
        on_clip: called with the name of each clip after it is made.

    Raises:
        InputError: the folder cannot be written, or the disk is full.
        ExtractionError: ffmpeg failed; the message holds the command and its last lines of error.
    """
    try:
        made = folder / _recipe_digest(ffmpeg)
        if _is_whole(made):
            return made
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "making.lock"):
            if _is_whole(made):
                return made
            part = made.with_suffix(".part")
            for leftover in (made, part):
                shutil.rmtree(leftover, ignore_errors=True)
            for kind in ("ref", "dis"):
                (part / kind).mkdir(parents=True)
            _make_all(part, ffmpeg, jobs, on_clip)
            part.rename(made)
        return made
    except OSError as error:
        raise InputError(
            f"cannot make the demo corpus in {folder}: {error.strerror}; "
            f"free {MEGABYTES} MB there, "
            "or set VMAF_TINY_AI_CACHE to a folder that can be written, then run again"
        ) from error


def make_demo_pair(folder: Path, ffmpeg: Path) -> tuple[Video, Video]:
    """Make one pair of the demo corpus in a folder; return its ref and its dis.

    Raises:
        OSError: the folder cannot be written.
        ExtractionError: ffmpeg failed.
    """
    for kind in ("ref", "dis"):
        (folder / kind).mkdir(parents=True)
    source, rung = SOURCES[0], RUNGS[len(RUNGS) // 2]
    maker = _Maker(folder, ffmpeg)
    maker.make_ref(source)
    maker.make_dis(source, rung)
    return (
        Video(folder / "ref" / _ref_name(source), FORMAT, FPS),
        Video(folder / "dis" / _dis_name(source, rung), FORMAT, FPS),
    )


def _is_whole(made: Path) -> bool:
    """Tell whether every file is there with its full size; a user may have deleted some."""
    names = {
        Path(kind, name)
        for pair in clip_names()
        for kind, name in zip(("ref", "dis"), pair, strict=True)
    }
    size = FRAMES * FORMAT.frame_bytes
    return all((made / name).is_file() and (made / name).stat().st_size == size for name in names)


def _ref_name(source: DemoSource) -> str:
    return f"{source.name}_{FPS}fps.yuv"


def _dis_name(source: DemoSource, rung: Rung) -> str:
    return f"{source.name}_{rung.label}_{rung.height}_{_kbps(source, rung)}.yuv"


def _kbps(source: DemoSource, rung: Rung) -> int:
    return max(4, round(source.kbps * rung.share))


def _recipe_digest(ffmpeg: Path) -> str:
    """Return 12 hex digits of the SHA-256 over everything that decides the corpus's bytes."""
    version = Processes().run([str(ffmpeg), "-version"]).splitlines()[0]
    tables = [*map(astuple, SOURCES), *map(astuple, RUNGS)]
    commands = [_ref_command(""), _encode_command("", 0, 0), _decode_command()]
    return hashlib.sha256(repr((version, tables, commands)).encode()).hexdigest()[:12]


def _make_all(part: Path, ffmpeg: Path, jobs: int, on_clip: Callable[[str], None]) -> None:
    maker = _Maker(part, ffmpeg)
    pairs = [(source, rung) for source in SOURCES for rung in RUNGS]
    in_parallel(lambda source: on_clip(maker.make_ref(source)), SOURCES, jobs, maker.processes)
    in_parallel(lambda pair: on_clip(maker.make_dis(*pair)), pairs, jobs, maker.processes)


class _Maker:
    """Makes clips below a folder that holds `ref/` and `dis/`; several threads can use it."""

    def __init__(self, folder: Path, ffmpeg: Path) -> None:
        self.processes = Processes()
        self._folder = folder
        self._quiet = [str(ffmpeg), "-v", "error"]

    def make_ref(self, source: DemoSource) -> str:
        """Make the reference of a source; return its name."""
        ref = self._folder / "ref" / _ref_name(source)
        self.processes.run([*self._quiet, *_ref_command(source.graph), str(ref)])
        return ref.stem

    def make_dis(self, source: DemoSource, rung: Rung) -> str:
        """Make a distorted clip of a source, whose reference is there; return its name."""
        ref, dis = self._folder / "ref" / _ref_name(source), _dis_name(source, rung)
        encode = _encode_command(str(ref), rung.height, _kbps(source, rung))
        bitstream = self.processes.run([*self._quiet, *encode])
        path = self._folder / "dis" / dis
        self.processes.run([*self._quiet, *_decode_command(), str(path)], stdin=bitstream)
        return path.stem


def _ref_command(graph: str) -> list[str]:
    drawn = ["-f", "lavfi", "-i", f"{graph},format={FORMAT.pix_fmt}"]
    return [*drawn, "-frames:v", str(FRAMES), *raw_arguments(FORMAT.pix_fmt)]


def _encode_command(ref: str, height: int, kbps: int) -> list[str]:
    read = [*raw_arguments(FORMAT.pix_fmt, str(FORMAT), FPS), "-i", f"file:{ref}"]
    # Even, since chroma is subsampled.
    width = round(WIDTH * height / HEIGHT / 2) * 2
    rate = ["-b:v", f"{kbps}k", "-maxrate", f"{2 * kbps}k", "-bufsize", f"{4 * kbps}k"]
    coder = ["-c:v", "libx264", "-preset", "superfast", "-threads", "1", "-g", str(FRAMES), *rate]
    return [*read, "-vf", _scale(width, height), *coder, "-flags", "bitexact", "-f", "h264", "-"]


def _decode_command() -> list[str]:
    read = ["-threads", "1", "-f", "h264", "-i", "pipe:0"]
    scaled = [*read, "-vf", _scale(WIDTH, HEIGHT), "-fps_mode", "passthrough"]
    return [*scaled, "-frames:v", str(FRAMES), *raw_arguments(FORMAT.pix_fmt)]


def _scale(width: int, height: int) -> str:
    return scale_filter(width, height, ("accurate_rnd", "bitexact"))
