"""Whether an offset of some frames is found, and whether none is claimed where there is none.

Usage: python benchmarks/alignment.py --corpus PATH --assume-dims WxH [--pairs 20] [--aligned 40]
Of some pairs, the first frames of one file are dropped. Other pairs, encodes of slides and still
pictures that ffmpeg draws among them, stay as they are.
"""

from collections import Counter
from pathlib import Path

from common import header, make_parser, numbers, row, run_ffmpeg, throw_away_folder

from vmaf_train.clips.layouts import scan
from vmaf_train.clips.pairs import Pair, first_in_turn
from vmaf_train.clips.video import Video, parse_dims
from vmaf_train.extraction.libvmaf import Ffmpeg, find_ffmpeg

# Pictures that say little or nothing about an offset.
DRAWN = {
    "slides": "testsrc2=size=640x360:rate=1,fps=25",
    "still": "testsrc2=size=640x360:rate=25,loop=loop=-1:size=1",
    "still with grain": "testsrc2=size=640x360:rate=25,loop=loop=-1:size=1,noise=alls=15:allf=t",
    "black": "color=black:size=640x360:rate=25",
}
FRAMES, CRFS = 96, (23, 38)


def shifted(pair: Pair, offset: int) -> tuple[Video, Video]:
    """Return ref and dis of a pair whose frames are off by `offset`, by dropping first frames."""
    # Frame i of both belongs together in the corpus, so dropping frames of one shifts it.
    late = pair.between(max(0, offset), pair.n_frames - max(0, -offset), -offset)
    return late.ref, late.dis


def drawn_pairs(ffmpeg: Ffmpeg, folder: Path) -> list[tuple[str, Video, Video]]:
    """Draw pictures, encode them, and return name, reference and encode of each."""
    made = []
    for name, graph in DRAWN.items():
        for crf in CRFS:
            ref, dis = (Video(folder / f"{name}_{crf}_{kind}.mkv") for kind in ("ref", "dis"))
            drawn = ["-f", "lavfi", "-i", graph, "-frames:v", str(FRAMES)]
            run_ffmpeg(ffmpeg, *drawn, "-c:v", "ffv1", "-pix_fmt", "yuv420p", str(ref.path))
            coder = ["-c:v", "libx264", "-crf", str(crf)]
            run_ffmpeg(ffmpeg, "-i", str(ref.path), *coder, str(dis.path))
            made.append((f"{name}, CRF {crf}", ref, dis))
    return made


def main() -> None:
    parser = make_parser(__doc__, corpus=None, assume_dims=None)
    parser.add_argument("--pairs", type=int, default=20, help="pairs that are shifted")
    parser.add_argument("--aligned", type=int, default=40, help="pairs that stay as they are")
    parser.add_argument("--offsets", type=numbers, default="1,3,12")
    options = parser.parse_args()
    ffmpeg = find_ffmpeg()
    pairs = scan(Path(options.corpus), parse_dims(options.assume_dims)).pairs
    sources = [pair.source for pair in pairs]
    moved = first_in_turn(sources, options.pairs)
    rest = [index for index in range(len(pairs)) if index not in moved][: options.aligned]

    print(header("offset", "pairs", "found", "another one claimed", "none claimed"))
    for size in options.offsets:
        for offset in (size, -size):
            found = Counter(ffmpeg.find_offset(*shifted(pairs[i], offset)) for i in moved)
            right, none = found[offset], found[0]
            print(row(f"{offset:+}", len(moved), right, len(moved) - right - none, none))

    claimed = Counter(bool(ffmpeg.find_offset(pairs[i].ref, pairs[i].dis)) for i in rest)
    print(f"\naligned pairs of the corpus: {len(rest)}, an offset claimed: {claimed[True]}")
    with throw_away_folder() as folder:
        drawn = drawn_pairs(ffmpeg, folder)
        wrong = [name for name, ref, dis in drawn if ffmpeg.find_offset(ref, dis)]
    print(f"slides, stills and black: {len(drawn)}, an offset claimed: {len(wrong)} {wrong or ''}")


if __name__ == "__main__":
    main()
