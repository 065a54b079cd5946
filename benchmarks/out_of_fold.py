"""Error on each source of a corpus, of students trained on the demo and on its other sources.

Usage: python benchmarks/out_of_fold.py --corpus PATH [--assume-dims WxH] [--features fast]
           [--archs mlp_small]
Default settings, one seed. Printed are the RMSE of the mean and of the worst source, that of all
frames, and the lowest SROCC of a source.
"""

from dataclasses import replace

import numpy as np
from common import choice_of, header, make_parser, row, table_of

from vmaf_train.features import find_feature_set
from vmaf_train.frames.choice import AUTO, CorpusChoice
from vmaf_train.frames.table import FrameTable
from vmaf_train.judging.agreement import compare
from vmaf_train.judging.evaluation import score_table
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.students.export import to_onnx
from vmaf_train.students.settings import Job, Settings
from vmaf_train.students.training import fit_many

COLUMNS = (
    "student",
    "features",
    "RMSE, mean source",
    "worst source",
    "all frames",
    "SROCC, lowest source",
)


def joined(demo: FrameTable, given: FrameTable) -> FrameTable:
    """Return the frames of both; the demo's sources get names that no file can have."""
    demo_sources = tuple(f"demo/{source}" for source in demo.clip_sources)
    clip_N = [given.clip_N, demo.clip_N + len(given.clips)]
    return replace(
        given,
        x_NF=np.concatenate([given.x_NF, demo.x_NF]),
        y_N=np.concatenate([given.y_N, demo.y_N]),
        clip_N=np.concatenate(clip_N, dtype=np.int32),
        clips=given.clips + demo.clips,
        clip_sources=given.clip_sources + demo_sources,
    )


def held_out_scores(
    arch: str, demo: FrameTable, given: FrameTable, settings: Settings
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the student's and the teacher's scores of each source of the given corpus."""
    jobs = [
        Job(hold_out=(source,), teacher_points=settings.teacher_points) for source in given.sources
    ]
    scores = []
    for job, student in fit_many(arch, joined(demo, given), jobs, settings).items():
        judged = given.only(job.hold_out)
        file = OnnxStudent(to_onnx(student, {}), arch)
        scores.append((score_table(file, judged), judged.y_N))
    return scores


def main() -> None:
    parser = make_parser(__doc__, corpus=None, assume_dims=AUTO, archs=["mlp_small"])
    parser.add_argument("--features", default="fast")
    options = parser.parse_args()
    settings = Settings(features=options.features)
    features = find_feature_set(options.features).features
    demo, given = table_of(CorpusChoice(), features), table_of(choice_of(options), features)

    print(header(*COLUMNS))
    for arch in options.archs:
        scores = held_out_scores(arch, demo, given, settings)
        of_source = [compare(score_N, truth_N) for score_N, truth_N in scores]
        score_N, truth_N = (np.concatenate(parts) for parts in zip(*scores, strict=True))
        rmse = [metrics.rmse for metrics in of_source]
        of_all = compare(score_N, truth_N).rmse
        lowest = min(metrics.srocc or 0 for metrics in of_source)
        figures = f"{np.mean(rmse):.3f}", f"{max(rmse):.3f}", f"{of_all:.3f}", f"{lowest:.5f}"
        print(row(arch, options.features, *figures), flush=True)


if __name__ == "__main__":
    main()
