"""Cost of extracting a feature set, and of `vmaf-train score` as a whole, against full VMAF.

Usage: python benchmarks/score.py [--frames N] [--threads N] [--rounds N]
A pair of 1920x1080 test pictures with noise. All ways use ffmpeg's libvmaf filter with the same
number of threads, and run in turn. Figures are medians.

The last column is the time that the whole command takes beyond the bare ffmpeg command with the
same features.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median

from common import (
    VMAF_TRAIN,
    Took,
    draw_clip,
    header,
    in_turn,
    make_parser,
    quiet,
    ratios,
    row,
    throw_away_folder,
    timed,
)

from vmaf_train.clips.video import Video, YuvFormat
from vmaf_train.extraction.libvmaf import Ffmpeg, find_ffmpeg
from vmaf_train.features import FEATURE_SETS
from vmaf_train.processes import cores
from vmaf_train.teacher.teachers import DEFAULT_TEACHER, find_teacher

SIZE = YuvFormat(1920, 1080)
NOISE = "noise=c0s=4:c0f=t"
FULL = "full"
V1 = find_teacher("vmaf_v1.0.16_3d0h")
SETS = FEATURE_SETS | {f"v1 {name}": features for name, features in V1.sets.items()}
# libvmaf's options of each way to run the bare filter.
FILTERS = {
    FULL: f"model=version={DEFAULT_TEACHER.name}",
    "full v1": f"model=version={V1.name}",
} | {name: f"model='':feature='{features.extraction}'" for name, features in SETS.items()}
# The whole command: the model, and the bare way with the same features.
MODELS = {
    "score canonical": ("vmaf_tiny_exact", "canonical"),
    "score lite": ("vmaf_tiny_lite", "lite"),
}
COLUMNS = ("way", "wall, s", "of full", "CPU, s", "of full", "s beyond bare ffmpeg")


def draw_pair(ffmpeg: Ffmpeg, folder: Path, frames: int) -> tuple[Video, Video]:
    """Draw a reference, and the same pictures blurred."""
    ref, dis = folder / "ref.yuv", folder / "dis.yuv"
    draw_clip(ffmpeg, ref, SIZE, frames=frames, filters=[NOISE])
    draw_clip(ffmpeg, dis, SIZE, frames=frames, filters=[NOISE, "gblur=sigma=1"])
    return Video(ref, SIZE), Video(dis, SIZE)


def commands(ffmpeg: Ffmpeg, ref: Video, dis: Video, threads: int) -> dict[str, list[str]]:
    """Return the command of each way."""
    inputs = [*dis.arguments(), *ref.arguments()]
    ways = {}
    for name, options in FILTERS.items():
        graph = f"libvmaf={options}:log_path=log.json:log_fmt=json:n_threads={threads}"
        ways[name] = [*quiet(ffmpeg), *inputs, "-filter_complex", graph, "-f", "null", "-"]

    score = [*VMAF_TRAIN, "score", str(ref.path), str(dis.path), "--size", str(SIZE)]
    for name, (model, _) in MODELS.items():
        ways[name] = [*score, "--model", model, "--jobs", str(threads)]
    return ways


def shares(took: Sequence[float], of_full: Sequence[float]) -> list[str]:
    """Return two cells: the time, and its share of full VMAF's."""
    return [f"{median(took):.2f}", f"{median(ratios(took, of_full)):.3f}"]


def beyond(whole: Sequence[Took], bare: Sequence[Took]) -> str:
    """Return the cell of wall time that a command takes beyond the bare filter."""
    differences = [each - filter for each, filter in zip(whole, bare, strict=True)]
    return f"{median(took.wall for took in differences):.2f}"


def main() -> None:
    parser = make_parser(__doc__, rounds=5)
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--threads", type=int, default=cores())
    options = parser.parse_args()
    ffmpeg, threads = find_ffmpeg(), options.threads
    with throw_away_folder() as folder:
        ref, dis = draw_pair(ffmpeg, folder, options.frames)
        ways = {
            name: partial(timed, command, cwd=folder)
            for name, command in commands(ffmpeg, ref, dis, threads).items()
        }
        times = in_turn(ways, options.rounds)

    print(f"{SIZE}, {options.frames} frames, {threads} threads, {options.rounds} rounds\n")
    print(header(*COLUMNS))
    full = times[FULL]
    for name, took in times.items():
        wall = shares([each.wall for each in took], [each.wall for each in full])
        cpu = shares([each.cpu for each in took], [each.cpu for each in full])
        print(
            row(name, *wall, *cpu, beyond(took, times[MODELS[name][1]]) if name in MODELS else "")
        )


if __name__ == "__main__":
    main()
