"""Faults of passes: signals, an ffmpeg that fails, files that change, full and closed disks."""

import random
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from common import VMAF_TRAIN

from breaking.harm import (
    SIZE,
    Ended,
    Harm,
    children_of,
    finish,
    in_group,
    numbers_in,
    run,
    write_corpus,
)
from vmaf_train.extraction.libvmaf import find_ffmpeg

# An ffmpeg that does one of the faults below in each pass over the clip VICTIM.
VICTIM = "Alpha_10_90_100"
WRAPPER = """#!{python}
import glob, os, signal, subprocess, sys, time
REAL, FAULT, VICTIM = {real!r}, os.environ.get("FAULT", ""), {victim!r}
args = sys.argv[1:]
mine = any("/dis/" + VICTIM in each for each in args)
if not mine or not FAULT:
    os.execv(REAL, [REAL, *args])
dis = os.path.join(os.environ["CORPUS"], "dis", VICTIM + ".yuv")
if FAULT == "hangs":
    subprocess.run(["sleep", "1000"])
if FAULT == "is killed":
    os.kill(os.getpid(), signal.SIGKILL)
code = subprocess.call([REAL, *args])
before = os.stat(dis)
if FAULT == "its file is replaced, with its old time":
    open(dis, "r+b").write(b"xxxx")
    os.utime(dis, ns=(before.st_atime_ns, before.st_mtime_ns))
if FAULT == "its file is cut":
    os.truncate(dis, before.st_size // 2)
if FAULT == "its file is removed":
    os.remove(dis)
if FAULT == "it writes 100 MB of errors":
    for _ in range(1000):
        sys.stderr.write("x" * 100000)
    code = 1
for path in glob.glob("[0-9].json"):
    text = open(path).read()
    value = '"integer_adm2": '
    start = text.index(value) + len(value)
    end = text.index(",", start)
    numbers = {{
        "NaN": "NaN", "null": "null", "a word": '"x"', "below zero": "-1.0", "huge": "1e300",
        "without end": "9" * 5000, "true": "true",
    }}
    kind = FAULT.removeprefix("its log: ")
    if kind in numbers:
        text = text[:start] + numbers[kind] + text[end:]
    elif kind == "a gap":
        text = text.replace('"frameNum": 7', '"frameNum": 8')
    elif kind == "cut":
        text = text[: len(text) // 2]
    elif kind == "empty":
        text = ""
    elif kind == "nested":
        text = "[" * 100000
    elif kind == "a score of 150":
        text = text.replace('"teacher0": ', '"teacher0": 150.0, "was": ')
    open(path, "w").write(text)
    if kind == "no text":
        open(path, "wb").write(bytes(range(256)))
    if kind == "3 GB":
        os.truncate(path, 3 << 30)
sys.exit(code)
"""
LOGS = (
    *("NaN", "null", "a word", "below zero", "huge", "without end", "true", "a gap", "cut"),
    *("empty", "nested", "no text", "a score of 150", "3 GB"),
)
FAULTS = (
    "is killed",
    "it writes 100 MB of errors",
    "its file is replaced, with its old time",
    "its file is cut",
    "its file is removed",
    *(f"its log: {kind}" for kind in LOGS),
)
# Runs prewarm with a time limit of two seconds per pass.
IMPATIENT = (
    "import vmaf_train.extraction.libvmaf as l; l.START_SECONDS = 2.0;"
    "from vmaf_train.__main__ import run; run()"
)
# Sizes of the disks that get full, in KB.
DISKS = (0, 4, 8, 12, 16, 24, 32, 40, 48, 64)


def prewarm(corpus: Path) -> list[str]:
    return [*VMAF_TRAIN, "prewarm", "--corpus", str(corpus), "--assume-dims", str(SIZE)]


def wait_for_children(marker: str) -> int:
    """Return how many processes of a corpus are left after five seconds."""
    deadline = time.monotonic() + 5
    while children_of(marker) and time.monotonic() < deadline:
        time.sleep(0.1)
    return children_of(marker)


def undisturbed(folder: Path) -> tuple[Path, dict[str, object], float]:
    """Return a corpus, what its cache must hold, and the seconds that this takes."""
    corpus, whole = write_corpus(folder / "corpus"), folder / "whole"
    started = time.monotonic()
    run(prewarm(corpus), VMAF_TINY_AI_CACHE=str(whole))
    takes = time.monotonic() - started
    wanted = numbers_in(whole)
    assert len(wanted) == 9, "the undisturbed prewarm failed"
    return corpus, wanted, takes


def kills(folder: Path, count: int, what: signal.Signals, draw: random.Random) -> Harm:
    """End a prewarm at a random time; the next must give what an undisturbed one gives."""
    harm = Harm()
    corpus, wanted, takes = undisturbed(folder)
    temporary = folder / "tmp"
    temporary.mkdir()
    for number in range(count):
        harm.injected += 1
        cache = folder / f"cache{number}"
        variables = {"VMAF_TINY_AI_CACHE": str(cache), "TMPDIR": str(temporary)}
        process = in_group(prewarm(corpus), **variables)
        time.sleep(draw.uniform(0, takes))
        process.send_signal(what)
        finish(process, harm)
        again = run(prewarm(corpus), harm, **variables)
        harm.lost += again.code != 0 or numbers_in(cache) != wanted
        if what is not signal.SIGKILL:
            harm.left += any(temporary.iterdir())
        harm.left += wait_for_children(str(corpus))
    return harm


def failing_ffmpeg(folder: Path, rounds: int) -> Iterator[tuple[str, Harm]]:
    """Let ffmpeg fail for one clip: it is named, the others are cached, and the next run heals."""
    corpus, wanted, _ = undisturbed(folder)
    wrapper = folder / "ffmpeg"
    real = str(find_ffmpeg().path)
    wrapper.write_text(WRAPPER.format(python=sys.executable, real=real, victim=VICTIM))
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    victim = corpus / "dis" / f"{VICTIM}.yuv"
    content = victim.read_bytes()
    others = {name: values for name, values in wanted.items() if VICTIM not in name}
    hangs = ("hangs", [sys.executable, "-c", IMPATIENT, *prewarm(corpus)[3:]])
    for fault, command in (hangs, *((fault, prewarm(corpus)) for fault in FAULTS)):
        harm = Harm()
        for number in range(rounds):
            harm.injected += 1
            cache = folder / f"{fault} {number}".replace("/", " ")
            variables = {
                "VMAF_TINY_AI_CACHE": str(cache),
                "VMAF_FFMPEG": str(wrapper),
                "CORPUS": str(corpus),
            }
            ended = run(command, harm, FAULT=fault, **variables)
            named = ended.code == 1 and VICTIM in ended.err
            harm.lost += not named or numbers_in(cache) != others
            victim.write_bytes(content)
            healed = run(prewarm(corpus), harm, **variables)
            harm.lost += healed.code != 0 or numbers_in(cache) != wanted
            harm.left += wait_for_children(str(corpus))
            shutil.rmtree(cache)
        yield f"ffmpeg {fault}" if " " not in fault or fault == "is killed" else fault, harm


def empty_files(folder: Path, count: int) -> Harm:
    """Add empty files to a corpus: a folder is refused, and a list is scored without them."""
    harm = Harm(injected=count)
    corpus, wanted, _ = undisturbed(folder)
    good = [path.name for path in sorted((corpus / "dis").iterdir())]
    empty = [f"Alpha_{number}_91_1.yuv" for number in range(count)]
    for name in empty:
        (corpus / "dis" / name).touch()
    cache = {"VMAF_TINY_AI_CACHE": str(folder / "cache")}
    harm.lost += run(prewarm(corpus), harm, **cache).code != 2
    rows = [f"ref/{name.split('_')[0]}_25fps.yuv,dis/{name},{SIZE}" for name in good + empty]
    listed = corpus / "pairs.csv"
    listed.write_text("\n".join(["ref,dis,size", *rows, ""]))
    ended = run([*VMAF_TRAIN, "prewarm", "--corpus", str(listed)], harm, **cache)
    # A list names the sources otherwise, which are the folders.
    found, clips = (
        {name.rpartition("/")[2]: values for name, values in held.items()}
        for held in (numbers_in(folder / "cache"), wanted)
    )
    harm.lost += ended.code != 0 or found != clips or f"{count} files left out" not in ended.out
    return harm


def two_at_once(folder: Path, rounds: int) -> Harm:
    """Let two prewarms of one corpus write one cache."""
    harm = Harm()
    corpus, wanted, _ = undisturbed(folder)
    for number in range(rounds):
        harm.injected += 1
        cache = str(folder / f"cache{number}")
        both = [in_group(prewarm(corpus), VMAF_TINY_AI_CACHE=cache) for _ in range(2)]
        codes = [finish(process, harm).code for process in both]
        harm.lost += codes != [0, 0] or numbers_in(Path(cache)) != wanted
    return harm


def in_namespace(script: str, into: Harm, **environment: str) -> Ended:
    """Run a shell script in which disks can be mounted without rights of this machine."""
    return run(["unshare", "-rm", "sh", "-c", script], into, **environment)


def can_mount() -> bool:
    """Tell whether this system lets a user mount a small disk."""
    tried = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs none /mnt"]
    return subprocess.run(tried, check=False, capture_output=True).returncode == 0


def full_disks(folder: Path, variable: str) -> Harm:
    """Fill the disk of the cache, or of the temporary folder; then give it room again."""
    harm = Harm()
    corpus, wanted, _ = undisturbed(folder)
    command = shlex.join(prewarm(corpus))
    for size in DISKS:
        harm.injected += 1
        disk, out, cache = folder / f"disk{size}", folder / f"out{size}", folder / f"cache{size}"
        disk.mkdir()
        place = shlex.quote(str(disk))
        script = (
            f"mount -t tmpfs -o size={size + 4}k none {place} && {command}; echo code $?; "
            f"mount -o remount,size=99m {place} && {command}; echo code $?; "
            f"cp -r $VMAF_TINY_AI_CACHE {shlex.quote(str(out))}"
        )
        where = {"VMAF_TINY_AI_CACHE": str(cache), variable: str(disk)}
        ended = in_namespace(script, harm, **where)
        codes = [line for line in ended.out.splitlines() if line.startswith("code")]
        # Bad input, since the disk is to blame and not a clip; or there was room enough.
        harm.lost += codes not in (["code 2", "code 0"], ["code 0", "code 0"])
        harm.lost += numbers_in(out) != wanted
    return harm


def closed_disk(folder: Path, rounds: int) -> Harm:
    """Close the disk of a warm cache: it still serves."""
    harm = Harm()
    corpus, _, _ = undisturbed(folder)
    whole = shlex.quote(str(folder / "whole"))
    script = f"mount --bind {whole} {whole} && mount -o remount,ro,bind {whole} && "
    for _ in range(rounds):
        harm.injected += 1
        ended = in_namespace(
            script + shlex.join(prewarm(corpus)), harm, VMAF_TINY_AI_CACHE=str(folder / "whole")
        )
        harm.lost += ended.code != 0 or "0 extracted" not in ended.out
    return harm
