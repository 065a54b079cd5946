"""Leave-one-source-out RMSE on the demo corpus for several learning rates: how the default was chosen.

Usage: python benchmarks/settings.py [--seeds N]
The demo's own hold-out is left out altogether: it is neither trained nor judged on here.
"""

import argparse
import statistics

from vmaf_train import demo
from vmaf_train.cache import ClipCache, cache_root, identity_of
from vmaf_train.corpus import YuvFormat, scan
from vmaf_train.dataset import FrameTable, choose_hold_out, split
from vmaf_train.libvmaf import find_ffmpeg
from vmaf_train.training import Settings, fit

RATES = (0.01, 0.02, 0.04, 0.08)


def demo_table() -> FrameTable:
    """Return the demo corpus's frames from the cache, without those of its hold-out."""
    ffmpeg, cache = find_ffmpeg(), ClipCache(cache_root())
    folder = demo.make_demo_corpus(cache_root() / "_demo", ffmpeg.path, jobs=2)
    pairs = scan(folder, YuvFormat(demo.WIDTH, demo.HEIGHT)).pairs
    scores = [cache.load(pair, identity_of(pair, ffmpeg.libvmaf_version)) for pair in pairs]
    if None in scores:
        raise SystemExit("the demo corpus is not in the cache yet; run: vmaf-train prewarm")
    table = FrameTable.from_clips(zip(pairs, scores, strict=True))
    return table.only(set(table.sources) - {choose_hold_out(table.sources)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(parser.parse_args().seeds)
    table = demo_table()
    print(f"sources: {', '.join(table.sources)}")
    print("| arch | lr | mean RMSE over folds and seeds | median |\n|---|---|---|---|")
    for arch in ("mlp_small", "mlp_medium"):
        for rate in RATES:
            rmse = [
                fit(arch, *split(table, source), Settings(lr=rate, seed=seed)).history[-1].val_rmse
                for source in table.sources
                for seed in seeds
            ]
            print(f"| {arch} | {rate} | {statistics.mean(rmse):.3f} | {statistics.median(rmse):.3f} |", flush=True)


if __name__ == "__main__":
    main()
