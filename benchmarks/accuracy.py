"""Error of the students on a corpus that they were not trained on: trained on the demo corpus, judged on yours.

Usage: python benchmarks/accuracy.py --corpus PATH [--assume-dims WxH] [--seeds N]
Nothing is chosen on the given corpus: default settings, every source, every frame; mean and deviation over seeds.
"""

import argparse
import os
import statistics
import tempfile

from vmaf_train import pipeline
from vmaf_train.frames import CorpusChoice
from vmaf_train.models import ARCHITECTURES
from vmaf_train.reporting import Reporter
from vmaf_train.training import Settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--assume-dims", default="auto")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    given = CorpusChoice(os.path.abspath(options.corpus), options.assume_dims)  # noqa: PTH100
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        os.chdir(folder)
        print("| student | parameters | ONNX bytes | RMSE, demo hold-out | RMSE, given | SROCC, given | max error |")
        print("|---|---|---|---|---|---|---|")
        for arch, row in ARCHITECTURES.items():
            held_out, judged = [], []
            for seed in range(options.seeds):
                trained = pipeline.train(CorpusChoice(), arch, "auto", Settings(seed=seed), Reporter())
                held_out.append(trained.report.rmse)
                run_id = trained.where[0].split()[1]
                judged.append(pipeline.evaluate_model(given, run_id, "all", Reporter()).report)
            rmse = [report.rmse for report in judged]
            print(
                f"| {arch} | {row.parameters} | {judged[0].model.onnx_bytes} | {spread(held_out)} | {spread(rmse)} | "
                f"{statistics.mean(report.srocc for report in judged):.5f} | "
                f"{max(report.max_abs_error for report in judged):.2f} |"
            )


def spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.2f} ± {statistics.pstdev(values):.2f}"


if __name__ == "__main__":
    main()
