"""Faults of files: flipped bits, and texts, models and tables of anybody."""

import json
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from breaking.harm import LIMIT, SIZE, Harm, write_corpus
from vmaf_train.clips import layouts
from vmaf_train.clips.manifest import read_pairs
from vmaf_train.errors import VmafTrainError
from vmaf_train.extraction.cache import ClipCache, identity_of
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

# What takes the place of a number or a word in a text.
NASTY = (
    *("NaN", "Infinity", "-Infinity", "1e999", "-1", "0", "1e308", "9" * 5000, "null", "true"),
    *("[]", "{}", '""', '"\\u0000"', "[" * 3000, '{"a":' * 3000, "\x1b[31m", "\x00", "../../x"),
)


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
