"""Students in stock libvmaf: how exact their model files are, and what a pass costs.

Usage: python benchmarks/libvmaf.py --corpus PATH [--assume-dims WxH] [--models A,B] [--rounds N]
A model is a run id, a URI of MLflow, the path of an .onnx file or the id of a shipped student.

The largest difference is that of any frame of the corpus: libvmaf with the model file against
onnxruntime with the features of a pass that extracts only these. CPU time is that of ffmpeg on a
pair of 1920x1080 test pictures, with one thread, against full VMAF; medians over rounds.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from common import (
    Took,
    choice_of,
    header,
    in_turn,
    make_parser,
    names,
    quiet,
    ratios,
    row,
    throw_away_folder,
    timed,
)
from score import draw_pair

from vmaf_train.clips.pairs import Pair
from vmaf_train.commands.export import export_libvmaf
from vmaf_train.extraction.libvmaf import Ffmpeg, filter_with, find_ffmpeg, score_with
from vmaf_train.features import set_of
from vmaf_train.frames.finding import open_pairs
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.reporting import Reporter
from vmaf_train.shipping.finding import FOR_EXPORT, find_student
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

FULL = "full VMAF"
COLUMNS = ("model", "points", "bytes", "float64", "largest of any frame", "CPU of full")


def difference(student: OnnxStudent, model: bytes, pair: Pair, ffmpeg: Ffmpeg) -> float:
    """Return the largest difference of a pair's frames, in score points."""
    features = set_of(student.features)
    assert features, "a student without a set has no model file"
    x_NF, _ = ffmpeg.features(pair.ref, pair.dis, features, threads=0)
    score_N = score_with(model, pair.ref, pair.dis, ffmpeg, threads=0)
    return float(np.abs(score_N - student.score(x_NF)).max())


def passes(ffmpeg: Ffmpeg, folder: Path, files: Mapping[str, Path]) -> dict[str, list[str]]:
    """Return ffmpeg's command for full VMAF and for each model file, on a drawn pair."""
    ref, dis = draw_pair(ffmpeg, folder, frames=48)
    filters = {FULL: f"libvmaf=model=version={DEFAULT_TEACHER.name}"}
    filters |= {name: filter_with(path) for name, path in files.items()}
    inputs = [*quiet(ffmpeg), *dis.arguments(), *ref.arguments()]
    return {
        name: [*inputs, "-lavfi", f"{filter}:n_threads=1", "-f", "null", "-"]
        for name, filter in filters.items()
    }


def main() -> None:
    parser = make_parser(__doc__, corpus=None, assume_dims="auto", rounds=5)
    parser.add_argument("--models", type=names, default=["vmaf_tiny_exact"])
    options = parser.parse_args()
    ffmpeg = find_ffmpeg()
    pairs = open_pairs(choice_of(options), ffmpeg, Reporter()).pairs
    with throw_away_folder() as folder:
        made = {
            model: export_libvmaf(model, Path(folder, f"{number}.json"))
            for number, model in enumerate(options.models)
        }
        commands = passes(ffmpeg, folder, {model: done.path for model, done in made.items()})
        ways = {name: partial(timed, command, cwd=folder) for name, command in commands.items()}
        times: Mapping[str, list[Took]] = in_turn(ways, options.rounds)

    print(f"{len(pairs)} pairs, {options.rounds} rounds\n")
    print(header(*COLUMNS))
    full = [took.cpu for took in times[FULL]]
    for name, done in made.items():
        student, content = find_student(name, FOR_EXPORT).student, done.model.content
        largest = max(difference(student, content, pair, ffmpeg) for pair in pairs)
        share = median(ratios([took.cpu for took in times[name]], full))
        errors = f"{done.model.max_error:.0e}", f"{largest:.1e}"
        print(row(done.name, done.model.points, len(content), *errors, f"{share:.2f}"))


if __name__ == "__main__":
    main()
