"""Faults of trainings: odd data and settings, signals, full disks, many at once, other places."""

import hashlib
import os
import random
import shlex
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from common import VMAF_TRAIN
from mlflow import MlflowClient

from breaking.harm import Ended, Harm, finish, in_group, run
from breaking.passes import in_namespace
from vmaf_train.features import CANONICAL
from vmaf_train.frames.parquet import write_parquet
from vmaf_train.frames.table import FrameTable
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

CLIPS, FRAMES = 6, 40
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _some(value: float) -> Change:
    """Return a change that puts a value at a tenth of the places."""
    return lambda values, draw: np.where(draw.random(values.shape) < 0.1, value, values)


def _all(value: float) -> Change:
    return lambda values, draw: np.full_like(values, value)


# Changes of the features and of the scores, and whether the table must be refused.
TABLES: dict[str, tuple[Change | None, Change | None, bool]] = {
    "constant features": (_all(0.5), None, False),
    "features of zero": (_all(0.0), None, False),
    "scores at their highest": (None, _all(100.0), False),
    "scores at their lowest": (None, _all(0.0), False),
    "scores without relation": (None, lambda y, draw: draw.uniform(0, 100, y.shape), False),
    "features of NaN": (_some(np.nan), None, True),
    "features without end": (_some(np.inf), None, True),
    "features of 1e6": (_some(1e6), None, True),
    "features of 1e30": (_some(1e30), None, True),
    "features below zero": (_some(-1.0), None, True),
    "scores of NaN": (None, _some(np.nan), True),
    "scores of 150": (None, _some(150.0), True),
    "scores of -1e5": (None, _all(-1e5), True),
}
# Settings that must be refused, or must end with a line.
SETTINGS = (
    ("--batch-size", "1000000000"),
    ("--batch-size", "0"),
    ("--lr", "inf"),
    ("--lr", "nan"),
    ("--lr", "1e300"),
    ("--lr", "1e6"),
    ("--teacher-points", "1000000000"),
    ("--epochs", "1000000000"),
    ("--seed", "99999999999999999999"),
    ("--val-source", "\x1b[31m"),
    ("--features", "x" * 5000),
)
# A solver that takes steps, and one that takes none.
ARCHS = ("mlp_small", "quintic")
# What must change no byte of a student.
PLACES: tuple[dict[str, str], ...] = (
    {},
    {"OMP_NUM_THREADS": "1"},
    {"OMP_NUM_THREADS": "2"},
    {"LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu"},
    {"PYTHONHASHSEED": "7"},
)


def table_of(change_x: Change | None = None, change_y: Change | None = None) -> FrameTable:
    """Return frames of random features with the teacher's scores, changed."""
    draw = np.random.default_rng(0)
    x_NF = draw.uniform(0.3, 1, (CLIPS * FRAMES, len(CANONICAL.features)))
    y_N = DEFAULT_TEACHER.score(x_NF, CANONICAL.features)
    return FrameTable(
        features=CANONICAL.features,
        x_NF=change_x(x_NF, draw) if change_x else x_NF,
        y_N=change_y(y_N, draw) if change_y else y_N,
        clip_N=np.repeat(np.arange(CLIPS, dtype=np.int32), FRAMES),
        clips=tuple(f"{number // 2}_{number}" for number in range(CLIPS)),
        clip_sources=tuple(f"S{number // 2}" for number in range(CLIPS)),
    )


def written(folder: Path, table: FrameTable) -> Path:
    """Write a table to a folder, and return its path."""
    path = folder / "table.parquet"
    write_parquet(table, path, "3.0.0", [{}] * len(table.clips))
    return path


def command(table: Path, arch: str = "mlp_small", epochs: int = 3) -> list[str]:
    words = ["train", "--corpus", str(table), "--arch", arch, "--epochs", str(epochs)]
    return [*VMAF_TRAIN, *words]


def store(folder: Path) -> dict[str, str]:
    """Return the variables of a store and a cache of a folder."""
    return {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "VMAF_TINY_AI_CACHE": str(folder / "cache"),
    }


def runs_in(uri: str) -> list[str]:
    """Return the status of each run of a store."""
    client = MlflowClient(uri)
    experiments = [each.experiment_id for each in client.search_experiments()]
    return [str(run.info.status) for run in client.search_runs(experiments)]


def odd_tables(folder: Path) -> Harm:
    """Train on odd tables: a finite loss and FINISHED, or a line and no run that claims more."""
    harm = Harm()
    for name, (change_x, change_y, refused) in TABLES.items():
        place = folder / name.replace(" ", "_")
        place.mkdir()
        table = written(place, table_of(change_x, change_y))
        for arch in ARCHS:
            harm.injected += 1
            uri = f"sqlite:///{place}/{arch}.db"
            variables = {**store(place), "MLFLOW_TRACKING_URI": uri}
            ended = run(command(table, arch), harm, **variables)
            harm.lost += ended.code != (2 if refused else 0)
            finished = (place / f"{arch}.db").exists() and "FINISHED" in runs_in(uri)
            harm.lost += finished == refused
    return harm


def odd_settings(folder: Path) -> Harm:
    """Train with absurd settings: each is refused, or the training ends."""
    harm = Harm()
    table = written(folder, table_of())
    for name, value in SETTINGS:
        harm.injected += 1
        ended = run([*command(table), name, value], harm, **store(folder))
        harm.lost += ended.code not in (0, 2) or "\x1b[31m" in ended.err
    return harm


def signals(folder: Path, count: int, what: signal.Signals, draw: random.Random) -> Harm:
    """End a training at a random time: KILLED or FINISHED, and never RUNNING or FAILED."""
    harm = Harm()
    table = written(folder, table_of())
    started = time.monotonic()
    run(command(table, epochs=30), **store(folder))
    takes = time.monotonic() - started
    for number in range(count):
        harm.injected += 1
        place = folder / str(number)
        place.mkdir()
        variables = {**store(place), "TMPDIR": str(place)}
        process = in_group(command(table, epochs=30), **variables)
        time.sleep(draw.uniform(0, takes))
        process.send_signal(what)
        finish(process, harm)
        database = place / "mlflow.db"
        states = runs_in(variables["MLFLOW_TRACKING_URI"]) if _is_made(database) else []
        if what is signal.SIGKILL:
            run([*VMAF_TRAIN, "runs", "--close-orphans"], harm, **variables)
            states = runs_in(variables["MLFLOW_TRACKING_URI"]) if _is_made(database) else []
        else:
            harm.left += any(path.name.startswith("vmaf-train-") for path in place.iterdir())
        harm.lost += not set(states) <= {"KILLED", "FINISHED"}
        shutil.rmtree(place)
    return harm


def at_once(folder: Path, rounds: int, count: int, *, file_store: bool) -> Harm:
    """Let several trainings write one store at once: all are there, with the same student."""
    harm = Harm()
    table = written(folder, table_of())
    for number in range(rounds):
        harm.injected += 1
        place = folder / str(number)
        place.mkdir()
        variables = store(place)
        if file_store:
            uri = str(place / "mlruns")
            variables |= {"MLFLOW_TRACKING_URI": uri, "MLFLOW_ALLOW_FILE_STORE": "true"}
            os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
        together = [in_group(command(table), place, **variables) for _ in range(count)]
        codes = [finish(process, harm).code for process in together]
        states = runs_in(variables["MLFLOW_TRACKING_URI"])
        harm.lost += codes != [0] * count or states != ["FINISHED"] * count
        harm.lost += len(students_in(place)) != 1
        shutil.rmtree(place)
    return harm


def full_store(folder: Path, draw: random.Random, count: int) -> Harm:
    """Fill the disk of the store: the student is kept, or the training says that it has failed."""
    harm = Harm()
    table = written(folder, table_of())
    words = shlex.join(command(table))
    for number in range(count):
        harm.injected += 1
        disk, cache = folder / f"disk{number}", folder / f"cache{number}"
        disk.mkdir()
        size = draw.randrange(400, 2000)
        place = shlex.quote(str(disk))
        script = f"mount -t tmpfs -o size={size}k none {place} && cd {place} && {words}"
        variables = {**store(disk), "VMAF_TINY_AI_CACHE": str(cache)}
        ended = in_namespace(script, harm, **variables)
        kept = list(cache.glob("_unsent/*/*.onnx"))
        told = ended.code in (1, 2) and (bool(kept) == ("vmaf-train upload" in ended.err))
        harm.lost += not (ended.code == 0 or told)
    return harm


def other_places(folder: Path) -> Iterator[tuple[str, Harm]]:
    """Train the same in other processes, threads, languages, time zones and folders."""
    table = written(folder, table_of())
    for arch in ARCHS:
        harm = Harm()
        found = set()
        for number, variables in enumerate(PLACES):
            harm.injected += 1
            place = folder / arch / str(number)
            place.mkdir(parents=True)
            ended = run_in(place, command(table, arch), harm, {**store(place), **variables})
            harm.lost += ended.code != 0
            found |= students_in(place)
        harm.lost += len(found) != 1
        yield f"{arch} trained in another place", harm


def run_in(place: Path, words: list[str], harm: Harm, variables: dict[str, str]) -> Ended:
    """Run a command in a working folder."""
    return finish(in_group(words, place, **variables), harm)


def students_in(place: Path) -> set[str]:
    """Return the hashes of the ONNX files of runs below a folder."""
    paths = [path for path in place.rglob("*.onnx") if path.name != "model.onnx"]
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _is_made(database: Path) -> bool:
    return database.exists() and database.stat().st_size > 0
