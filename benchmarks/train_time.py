"""Time of `vmaf-train train` on a warm cache, process start to end, against merely importing its heavy libraries.

Usage: python benchmarks/train_time.py [--runs N]
Both are whole processes run in turn, in a throw-away SQLite store that exists before the first counted run.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

IMPORTS = [sys.executable, "-c", "import torch, mlflow, onnx, onnxruntime"]
TRAIN = [sys.executable, "-m", "vmaf_train", "train", "--arch", "mlp_small"]


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        os.chdir(folder)
        seconds(TRAIN), seconds(IMPORTS)  # warms the cache, the store and the page cache
        pairs = [(seconds(TRAIN), seconds(IMPORTS)) for _ in range(runs)]
    train, imports = zip(*pairs, strict=True)
    ratios = [a / b for a, b in pairs]
    print(f"train   median {statistics.median(train):.2f} s")
    print(f"imports median {statistics.median(imports):.2f} s")
    print(
        f"ratio   median {statistics.median(ratios):.2f}  min {min(ratios):.2f}  max {max(ratios):.2f}  ({runs} pairs)"
    )


if __name__ == "__main__":
    main()
