"""Error of the students on a corpus that they were not trained on: trained on the demo corpus, judged on yours.

Usage: python benchmarks/accuracy.py --corpus PATH [--assume-dims WxH] [--seeds N] [--archs all] [--features lite]
Nothing is chosen on the given corpus: default settings, every source, every frame; mean and deviation over seeds, and
the lowest SROCC and greatest errors among them. The box is that of all possible features: 200,000 random vectors.
"""

import argparse
import os
import statistics
import tempfile

from vmaf_train.commands.train import evaluate_model, train
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.reporting import Reporter
from vmaf_train.students.architectures import ARCHITECTURES
from vmaf_train.students.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--assume-dims", default="auto")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--archs", default=",".join(ARCHITECTURES))
    parser.add_argument("--features", default="canonical")
    options = parser.parse_args()
    given = CorpusChoice(os.path.abspath(options.corpus), options.assume_dims)  # noqa: PTH100
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        os.chdir(folder)
        print(
            "| student | parameters | RMSE, demo hold-out | RMSE, given | SROCC | max error | box RMSE | box max |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for arch in options.archs.split(","):
            held_out, judged = [], []
            for seed in range(options.seeds):
                settings = Settings(seed=seed, features=options.features)
                trained = train(CorpusChoice(), arch, "auto", settings, Reporter())
                held_out.append(trained.report.rmse)
                run_id = trained.where[0].split()[1]
                judged.append(evaluate_model(given, run_id, "all", Reporter()).report)
            boxes = [report.box for report in judged if report.box]
            print(
                f"| {arch} | {trained.report.model.parameters} | {spread(held_out)} | "
                f"{spread([report.rmse for report in judged])} | {min(report.srocc or 0 for report in judged):.6f} | "
                f"{max(report.max_abs_error for report in judged):.3f} | "
                + (
                    f"{spread([b.rmse for b in boxes])} | {max(b.max_abs_error for b in boxes):.3f} |"
                    if boxes
                    else "- | - |"
                ),
                flush=True,
            )


def spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.4f} ± {statistics.pstdev(values):.4f}"


if __name__ == "__main__":
    main()
