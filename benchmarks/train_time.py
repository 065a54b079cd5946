"""Time of `vmaf-train train` on a warm cache, against the import of its heavy libraries alone.

Usage: python benchmarks/train_time.py [--runs N]
Whole processes, from start to end, in turn. The throw-away SQLite store exists before the first
run that counts.
"""

import sys
from functools import partial
from statistics import median

from common import VMAF_TRAIN, in_turn, make_parser, ratios, throw_away_store, timed

IMPORTS = (sys.executable, "-c", "import torch, mlflow, onnx, onnxruntime")
TRAIN = (*VMAF_TRAIN, "train", "--arch", "mlp_small")


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--runs", type=int, default=5, help="how often both run")
    runs = parser.parse_args().runs
    with throw_away_store() as folder:
        ways = {
            "train": partial(timed, TRAIN, cwd=folder),
            "imports": partial(timed, IMPORTS, cwd=folder),
        }
        in_turn(ways, 1)  # warms the cache, the store and the page cache
        times = in_turn(ways, runs)

    train, imports = ([took.wall for took in times[name]] for name in ("train", "imports"))
    shares = ratios(train, imports)
    print(f"train   median {median(train):.2f} s")
    print(f"imports median {median(imports):.2f} s")
    print(
        f"ratio   median {median(shares):.2f}  min {min(shares):.2f}  max {max(shares):.2f}  "
        f"({runs} pairs)"
    )


if __name__ == "__main__":
    main()
