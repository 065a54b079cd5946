"""Error on a corpus's sources, each scored by a student of the demo corpus and of the other sources of that corpus.

Usage: python benchmarks/out_of_fold.py --corpus PATH [--assume-dims WxH] [--features fast] [--archs mlp_small]
Default settings, one seed; mean and worst source, the lowest SROCC of a source.
"""

import argparse
from dataclasses import replace

import numpy as np

from vmaf_train.features import find_feature_set
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.frames.opening import open_corpus
from vmaf_train.frames.table import FrameTable
from vmaf_train.judging.evaluation import compare, score_table
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.reporting import Reporter
from vmaf_train.students.export import to_onnx
from vmaf_train.students.settings import Job, Settings
from vmaf_train.students.training import fit_many


def joined(demo: FrameTable, given: FrameTable) -> FrameTable:
    """Return the frames of both; the demo's sources get a name that no file can have."""
    return replace(
        given,
        x_NF=np.concatenate([given.x_NF, demo.x_NF]),
        y_N=np.concatenate([given.y_N, demo.y_N]),
        clip_N=np.concatenate([given.clip_N, demo.clip_N + len(given.clips)], dtype=np.int32),
        clips=given.clips + demo.clips,
        clip_sources=given.clip_sources + tuple(f"demo/{source}" for source in demo.clip_sources),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--assume-dims", default="auto")
    parser.add_argument("--features", default="fast")
    parser.add_argument("--archs", default="mlp_small")
    options = parser.parse_args()
    features = find_feature_set(options.features).features
    choices = CorpusChoice(), CorpusChoice(options.corpus, options.assume_dims)
    demo, given = (open_corpus(choice, Reporter(), features).table(()) for choice in choices)
    print(
        "| student | features | RMSE, mean source | worst source | all frames | SROCC, lowest source |"
    )
    print("|---|---|---|---|---|---|")
    for arch in options.archs.split(","):
        settings = Settings(features=options.features)
        jobs = {source: Job((source,), 0, settings.teacher_points) for source in given.sources}
        students = fit_many(arch, joined(demo, given), list(jobs.values()), settings)
        scores = {}
        for source, job in jobs.items():
            student, judged = students[job], given.only({source})
            scores[source] = (
                score_table(OnnxStudent(to_onnx(student, {}), arch), judged),
                judged.y_N,
            )
        of_source = [compare(*pair) for pair in scores.values()]
        whole = compare(*(np.concatenate(parts) for parts in zip(*scores.values(), strict=True)))
        rmse = [metrics.rmse for metrics in of_source]
        lowest = min(metrics.srocc or 0 for metrics in of_source)
        cells = f"{np.mean(rmse):.3f} | {max(rmse):.3f} | {whole.rmse:.3f} | {lowest:.5f}"
        print(f"| {arch} | {options.features} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
