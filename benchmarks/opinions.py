"""How many clips with an opinion score it takes, for mos and for hybrid. The scores are SYNTHETIC.

Usage: python benchmarks/opinions.py [--corpus real] [--clips 8,16,32,64,128,400] [--draws 6]
A known function of the features, near the teacher and not the teacher, stands for the truth. Scores
of clips are its means over the frames, with the noise of subjects. A third of the sources is held
out. Students of the others score their clips; the error is that against the noiseless truth.
"""

from dataclasses import replace
from statistics import median

import numpy as np
from common import header, make_parser, numbers, row, table_of

from vmaf_train.frames.choice import REAL, CorpusChoice
from vmaf_train.frames.table import FrameTable
from vmaf_train.judging.evaluation import pool, score_table
from vmaf_train.metrics import rmse
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.students.export import to_onnx
from vmaf_train.students.settings import HYBRID, MOS, Job, Settings
from vmaf_train.students.training import fit_many

# Standard deviation of the noise, in score points.
NOISE = 4.0
ARCH = "quartic"


def synthetic_truth(table: FrameTable) -> np.ndarray:
    """Return synthetic frame scores: the teacher's, bent by the score itself and by motion."""
    motion_N = table.x_NF[:, table.features.index("motion2")]
    bent_N: np.ndarray = 6 * np.sin(table.y_N / 16) - 5 * np.tanh((motion_N - 4) / 4)
    truth_N: np.ndarray = table.y_N + bent_N
    return truth_N


def errors(table: FrameTable, clips: int, draw: int) -> dict[str, float]:
    """Return the RMSE on held-out sources of mos, of hybrid, and of the teacher itself."""
    random = np.random.default_rng(draw)
    truth_C = pool(synthetic_truth(table), table)
    held = set(random.choice(table.sources, len(table.sources) // 3, replace=False).tolist())
    new_C = np.array([source in held for source in table.clip_sources])
    noise_C = NOISE * random.standard_normal(len(truth_C))
    rated = random.permutation(np.flatnonzero(~new_C))[:clips]
    mos_C = np.full(len(truth_C), np.nan)
    mos_C[rated] = truth_C[rated] + noise_C[rated]

    seen = replace(table, mos_C=mos_C)
    job = Job(tuple(sorted(held)), teacher_points=Settings.teacher_points)
    found = {"teacher": pool(table.y_N, table)}
    for targets in (MOS, HYBRID):
        student = fit_many(ARCH, seen, [job], Settings(targets=targets))[job]
        scores_N = score_table(OnnxStudent(to_onnx(student, {}), targets), table)
        found[targets] = pool(scores_N, table)
    return {name: rmse(score_C[new_C], truth_C[new_C]) for name, score_C in found.items()}


def main() -> None:
    parser = make_parser(__doc__, corpus=REAL)
    parser.add_argument("--clips", type=numbers, default="8,16,32,64,128,400")
    parser.add_argument("--draws", type=int, default=6)
    options = parser.parse_args()
    table = table_of(CorpusChoice(corpus=options.corpus))
    print(f"SYNTHETIC scores, noise of {NOISE:g} points; {ARCH}, corpus {options.corpus}\n")
    print(header("clips with a score", "mos", "hybrid", "teacher's own score"))
    for clips in options.clips:
        drawn = [errors(table, clips, draw) for draw in range(options.draws)]
        means = [f"{median(e[n] for e in drawn):.2f}" for n in (MOS, HYBRID, "teacher")]
        print(row(clips, *means))


if __name__ == "__main__":
    main()
