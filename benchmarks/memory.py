"""Peak memory of a cold prewarm by length of the clips: the largest ffmpeg process, and the command itself.

Usage: python benchmarks/memory.py [--frames 60,240,960] [--dims 960x540]
Four pairs of one source, so that a pass holds two where there are two cores; as many passes run at once as there are
cores. Test pictures: what they show makes no difference.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from vmaf_train.clips.layout import parse_dims
from vmaf_train.commands.train import prewarm
from vmaf_train.extraction.libvmaf import find_ffmpeg
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.reporting import Reporter


def measure(corpus: str, dims: str) -> None:
    prewarm(CorpusChoice(corpus, dims), Reporter())
    status = Path("/proc/self/status").read_text()
    own = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    print(json.dumps([resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, own / 1024]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", default="60,240,960")
    parser.add_argument("--dims", default="960x540")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.measure:
        measure(wanted.measure, wanted.dims)
        return
    print("| frames | bytes a pixel | largest ffmpeg, MB | the command, MB |\n|---|---|---|---|")
    ffmpeg, format = str(find_ffmpeg().path), parse_dims(wanted.dims)
    for frames in map(int, wanted.frames.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            for name in (
                "ref/A_25fps.yuv",
                "dis/A_1_1_1.yuv",
                "dis/A_2_1_1.yuv",
                "dis/A_3_1_1.yuv",
                "dis/A_4_1_1.yuv",
            ):
                Path(folder, name).parent.mkdir(exist_ok=True)
                source = [
                    "-f",
                    "lavfi",
                    "-i",
                    f"testsrc2=size={format}:rate=25",
                    "-frames:v",
                    str(frames),
                ]
                raw = ["-pix_fmt", format.pix_fmt, "-f", "rawvideo", str(Path(folder, name))]
                subprocess.run([ffmpeg, "-v", "error", *source, *raw], check=True)
            command = [sys.executable, __file__, "--measure", folder, "--dims", wanted.dims]
            environment = os.environ | {"VMAF_TINY_AI_CACHE": str(Path(folder, "cache"))}
            done = subprocess.run(command, check=True, capture_output=True, env=environment)
            largest, own = json.loads(done.stdout)
            print(
                f"| {frames} | {largest * 2**20 / format.width / format.height:.0f} | {largest:.0f} | {own:.0f} |"
            )


if __name__ == "__main__":
    main()
