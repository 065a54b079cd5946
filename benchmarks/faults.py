"""Faults on purpose: what is injected, and what of it does harm.

Usage: python benchmarks/faults.py [--flips 10000] [--inputs 100000] [--kills 50] [--seed 0]
Prints one row per kind of fault, with its count, and the counts of four harms:

- lost: a result differs from that without the fault, or is missing after the next run;
- hung: nothing came within the time limit;
- tracebacks: another exception came out than those that tell the user what is wrong;
- left over: a child process or a temporary folder stayed.

The exit code is 1 if there is any harm.
"""

import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from common import VMAF_TRAIN, draw_clip, header, make_parser, row, throw_away_folder

from vmaf_train.clips import layouts
from vmaf_train.clips.manifest import read_pairs
from vmaf_train.clips.video import YuvFormat
from vmaf_train.errors import VmafTrainError
from vmaf_train.extraction.cache import ClipCache, identity_of
from vmaf_train.extraction.libvmaf import find_ffmpeg
from vmaf_train.extraction.log_files import parse_log_file
from vmaf_train.extraction.logs import FrameScores
from vmaf_train.features import CANONICAL
from vmaf_train.frames.opinions import read_opinions
from vmaf_train.frames.parquet import METADATA_KEY, read_parquet
from vmaf_train.frames.real import REAL_TABLES
from vmaf_train.onnx_file.facts import METADATA_PREFIX, facts_in
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.onnx_file.outside import student_from_outside
from vmaf_train.shipping.finding import CHECKOUT, FOR_SCORE, find_student
from vmaf_train.shipping.in_tree import SHIPPED
from vmaf_train.shipping.tree import Tree
from vmaf_train.teacher.model_file import packaged_model, read_model
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

SIZE = YuvFormat(160, 90)
SOURCES, FRAMES = ("Alpha", "Beta", "Gamma"), 48
# What takes the place of a number or a word in a text.
NASTY = (
    *("NaN", "Infinity", "-Infinity", "1e999", "-1", "0", "1e308", "9" * 5000, "null", "true"),
    *("[]", "{}", '""', '"\\u0000"', "[" * 3000, '{"a":' * 3000, "\x1b[31m", "\x00", "../../x"),
)
# Seconds within which anything must end.
LIMIT = 120
COLUMNS = ("fault", "injected", "lost", "hung", "tracebacks", "left over")


@dataclass
class Harm:
    """What faults of one kind did."""

    injected: int = 0
    lost: int = 0
    hung: int = 0
    tracebacks: int = 0
    left: int = 0

    @property
    def any(self) -> bool:
        return bool(self.lost or self.hung or self.tracebacks or self.left)

    def told(self, work: Callable[..., object], *given: object) -> object:
        """Do work that may tell the user what is wrong; count what else comes out."""
        self.injected += 1
        try:
            return work(*given)
        except VmafTrainError as error:
            return error
        except Exception as error:
            self.tracebacks += 1
            print(f"  {type(error).__name__}: {str(error)[:200]!r}", file=sys.stderr)
            return error


def flipped(content: bytes, draw: random.Random) -> bytes:
    """Return bytes with one bit flipped."""
    bit = draw.randrange(8 * len(content))
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


def mutated(text: str, draw: random.Random) -> str:
    """Return a text with some parts replaced, removed, doubled or cut off."""
    for _ in range(draw.choice((1, 1, 2, 5))):
        start = draw.randrange(len(text) + 1)
        end = min(len(text), start + draw.choice((1, 1, 3, 20, 200)))
        kind = draw.randrange(5)
        if kind == 0:
            text = text[:start] + draw.choice(NASTY) + text[end:]
        elif kind == 1:
            text = text[:start] + text[end:]
        elif kind == 2:
            text = text[:start] + text[start:end] * draw.choice((2, 50)) + text[end:]
        elif kind == 3 and draw.random() < 0.2:
            text = text[:start]
        else:
            text = text[:start] + chr(draw.randrange(0x100)) + text[start + 1 :]
    return text


def write_corpus(folder: Path) -> Path:
    """Write a small corpus in the Netflix layout."""
    ffmpeg = find_ffmpeg()
    for number, source in enumerate(SOURCES):
        hue = f"hue=h={40 * number}"
        draw_clip(
            ffmpeg, folder / "ref" / f"{source}_25fps.yuv", SIZE, frames=FRAMES, filters=[hue]
        )
        for rung in (1, 2, 3):
            dis = folder / "dis" / f"{source}_{rung}0_90_{rung}00.yuv"
            filters = [hue, f"gblur=sigma={rung}"]
            draw_clip(ffmpeg, dis, SIZE, frames=FRAMES, filters=filters)
    return folder


def flips_of_entries(folder: Path, count: int, draw: random.Random) -> Harm:
    """Flip bits of a cache entry."""
    harm = Harm()
    pair = layouts.scan(write_corpus(folder / "corpus"), SIZE).pairs[0]
    cache, identity = ClipCache(folder / "cache"), identity_of(pair, "1")
    x_NF = np.random.default_rng(0).uniform(0, 1, (pair.n_frames, 6))
    scores = FrameScores(CANONICAL.features, x_NF, {DEFAULT_TEACHER.name: 100 * x_NF[:, 0]})
    cache.store(pair, identity, scores)
    content = cache.path_of(pair).read_bytes()
    for _ in range(count):
        cache.path_of(pair).write_bytes(flipped(content, draw))
        harm.lost += harm.told(cache.load, pair, identity) is not None
    return harm


def flips_of_models(folder: Path, count: int, draw: random.Random) -> Harm:
    """Flip bits of a shipped model."""
    harm = Harm()
    tiny = CHECKOUT / "model" / "tiny"
    (folder / "it.json").write_bytes((tiny / "vmaf_tiny_exact.json").read_bytes())
    content = (tiny / "vmaf_tiny_exact.onnx").read_bytes()
    for _ in range(count):
        (folder / "it.onnx").write_bytes(flipped(content, draw))
        found = harm.told(find_student, str(folder / "it.onnx"), FOR_SCORE)
        harm.lost += not isinstance(found, VmafTrainError)
    return harm


def models_from_outside(count: int, draw: random.Random) -> Harm:
    """Damage models that no sidecar vouches for: each is refused, or keeps the contract."""
    harm = Harm()
    content = (CHECKOUT / "model" / "tiny" / "vmaf_tiny_v1.onnx").read_bytes()
    x_NF = np.random.default_rng(0).uniform(0, 1, (9, 6))
    for _ in range(count):
        damaged = content
        for _ in range(draw.choice((1, 4, 30))):
            damaged = flipped(damaged, draw)
        started = time.monotonic()
        student = harm.told(student_from_outside, damaged, "it")
        if isinstance(student, OnnxStudent):
            harm.told(student.score, x_NF)
            harm.injected -= 1
        harm.hung += time.monotonic() - started > LIMIT
    return harm


def readers(folder: Path) -> Iterator[tuple[str, str, Callable[[str], object]]]:
    """Yield the name of each reader, a text that it reads, and the reader."""

    def of_file(name: str, read: Callable[[Path], object]) -> Callable[[str], object]:
        def work(text: str) -> object:
            path = folder / name
            path.write_bytes(text.encode("utf-8", errors="surrogateescape"))
            return read(path)

        return work

    def log_of(text: str) -> object:
        log = parse_log_file(text, "log")
        return None if log.missing(CANONICAL.features) else log.features(CANONICAL.features)

    model = packaged_model("vmaf_v1.0.16_3d0h").read_text()
    head = model[:2500] + model[-4500:]
    yield "model file of libvmaf", model, of_file("model.json", read_model)
    yield "start and end of a model file", head, of_file("model.json", read_model)
    frames = [
        {"frameNum": n, "metrics": {f"integer_{name}": 0.5 for name in CANONICAL.features}}
        for n in range(3)
    ]
    yield "log, JSON", json.dumps({"version": "1", "frames": frames}), log_of
    lines = ["Frame," + ",".join(f"integer_{name}" for name in CANONICAL.features) + ","]
    lines += [f"{n}," + "0.5," * 6 for n in range(3)]
    yield "log, CSV", "\n".join(lines), log_of
    words = " ".join(f'integer_{name}="0.5"' for name in CANONICAL.features)
    body = "".join(f'<frame frameNum="{n}" {words}/>' for n in range(3))
    yield "log, XML", f'<VMAF version="1"><frames>{body}</frames></VMAF>', log_of
    pairs = "ref,dis,size,pix_fmt,source,mos,frames\na.yuv,b.yuv,64x64,yuv420p,A,50.5,0:48\n"
    yield "list of pairs", pairs, of_file("pairs.csv", lambda p: read_pairs(p, "", "yuv420p"))
    yield (
        "opinion scores",
        "clip,mos\na,50\nb,70\n",
        of_file("o.csv", lambda p: read_opinions(str(p))),
    )
    tiny = folder / "model" / "tiny"
    tiny.mkdir(parents=True)
    tree, place = Tree(folder), SHIPPED[2]
    own = CHECKOUT / "model" / "tiny"
    sidecar = (own / f"{place.id}.json").read_text()
    read = of_file(f"model/tiny/{place.id}.json", lambda p: (tree.sidecar(place), tree.held(place)))
    yield "sidecar", sidecar, read
    index = of_file("model/tiny/registry.json", lambda p: tree.other_entries())
    yield "index", (own / "registry.json").read_text(), index
    student = OnnxStudent((own / f"{place.id}.onnx").read_bytes(), "it")
    for key in ("train_sources", "expected_error", "arch", "window"):
        text = json.dumps(student.facts[key])
        yield f"metadata {key}", text, partial(metadata_of, METADATA_PREFIX + key)


def metadata_of(key: str, text: str) -> object:
    return facts_in({key: text}, "it")


def fuzz(folder: Path, count: int, draw: random.Random) -> Iterator[tuple[str, Harm]]:
    """Change texts that readers read."""
    for name, text, read in readers(folder):
        harm = Harm()
        for _ in range(count):
            changed = mutated(text, draw)
            started = time.monotonic()
            harm.told(read, changed)
            harm.hung += time.monotonic() - started > LIMIT
        yield f"text: {name}", harm


def fuzz_parquet(folder: Path, count: int, draw: random.Random) -> Harm:
    """Change the metadata of a table of frames."""
    import pyarrow.parquet as pq

    harm = Harm()
    rows = pq.read_table(REAL_TABLES[DEFAULT_TEACHER.name]).slice(0, 64)
    text = rows.schema.metadata[METADATA_KEY].decode()
    text = text[:900] + text[-400:]
    for _ in range(count):
        pq.write_table(
            rows.replace_schema_metadata({METADATA_KEY: mutated(text, draw)}), folder / "t"
        )
        harm.told(read_parquet, folder / "t")
    return harm


def in_group(command: list[str], **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def children_of(marker: str) -> int:
    """Return the number of processes whose command line or folder names a marker."""
    found = 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().decode(errors="replace")
            found += marker in words and path.name != str(os.getpid())
        except OSError:
            continue
    return found


def kills_of_prewarm(folder: Path, count: int, what: signal.Signals, draw: random.Random) -> Harm:
    """End a prewarm at a random time; the next must give what an undisturbed one gives."""
    harm = Harm()
    corpus = write_corpus(folder / "corpus")
    temporary = folder / "tmp"
    temporary.mkdir()
    command = [*VMAF_TRAIN, "prewarm", "--corpus", str(corpus), "--assume-dims", str(SIZE)]
    whole = {"VMAF_TINY_AI_CACHE": str(folder / "whole"), "TMPDIR": str(temporary)}
    started = time.monotonic()
    subprocess.run(command, env=os.environ | whole, check=True, capture_output=True)
    takes = time.monotonic() - started
    wanted = entries(folder / "whole")
    for number in range(count):
        harm.injected += 1
        cache = folder / f"cache{number}"
        variables = {"VMAF_TINY_AI_CACHE": str(cache), "TMPDIR": str(temporary)}
        process = in_group(command, **variables)
        time.sleep(draw.uniform(0, takes))
        process.send_signal(what)
        try:
            _, err = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            harm.hung += 1
            process.kill()
            continue
        harm.tracebacks += b"Traceback" in err
        done = subprocess.run(command, env=os.environ | variables, check=False, capture_output=True)
        harm.lost += done.returncode != 0 or entries(cache) != wanted
        if what is not signal.SIGKILL:
            harm.left += any(temporary.iterdir())
        deadline = time.monotonic() + 5
        while children_of(str(corpus)) and time.monotonic() < deadline:
            time.sleep(0.1)
        harm.left += children_of(str(corpus))
    return harm


def entries(cache: Path) -> dict[str, bytes]:
    """Return the content of all files of a cache, by path."""
    return {
        path.relative_to(cache).as_posix(): path.read_bytes()
        for path in cache.rglob("*")
        if path.is_file()
    }


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--flips", type=int, default=10_000)
    parser.add_argument("--inputs", type=int, default=100_000, help="texts per reader: a tenth")
    parser.add_argument("--kills", type=int, default=50, help="per signal")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    harmed = False

    def show(name: str, harm: Harm) -> None:
        nonlocal harmed
        harmed |= harm.any
        cells = (harm.injected, harm.lost, harm.hung, harm.tracebacks, harm.left)
        print(row(name, *(f"{cell:,}" for cell in cells)), flush=True)

    # A warning for each damaged entry would hide the table.
    logging.disable(logging.WARNING)
    print(header(*COLUMNS))
    with throw_away_folder() as folder:
        places = (folder / str(number) for number in range(100))

        def place() -> Path:
            made = next(places)
            made.mkdir()
            return made

        show("bit of a cache entry flipped", flips_of_entries(place(), options.flips, draw))
        show("bit of a shipped model flipped", flips_of_models(place(), options.flips // 10, draw))
        show("model from outside damaged", models_from_outside(options.flips // 50, draw))
        for name, harm in fuzz(place(), options.inputs // 10, draw):
            show(name, harm)
        show("metadata of a table", fuzz_parquet(place(), options.inputs // 100, draw))
        for what in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            harm = kills_of_prewarm(place(), options.kills, what, draw)
            show(f"prewarm ended by {what.name}", harm)
    sys.exit(harmed)


if __name__ == "__main__":
    main()
