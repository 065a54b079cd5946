"""Small corpora, a filled cache of the demo corpus, and one MLflow store per test."""

import shutil
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow.entities import Run
from mlflow_runs import only_run

from vmaf_train.clips.pairs import Pair
from vmaf_train.clips.video import Video, YuvFormat
from vmaf_train.commands.export_features import export_features
from vmaf_train.commands.prewarm import prewarm
from vmaf_train.commands.train import Trained, train
from vmaf_train.extraction import libvmaf
from vmaf_train.extraction.logs import FrameScores
from vmaf_train.features import ADM_DETAILS, CANONICAL
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.frames.table import FrameTable
from vmaf_train.reporting import Reporter
from vmaf_train.students.settings import Settings
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

# On a busy machine torch's threads wait for each other for minutes. One thread gives the same
# weights.
torch.set_num_threads(1)
# Variables of the caller that would change what a test does.
FOREIGN_VARIABLES = (
    "VMAF_FFMPEG",
    "MLFLOW_RUN_ID",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_ALLOW_FILE_STORE",
)


class Lines(Reporter):
    """Keeps the lines that it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)


def isolate(patch: pytest.MonkeyPatch, cache: Path) -> None:
    """Use this cache folder and ignore the variables of the caller."""
    patch.setenv("VMAF_TINY_AI_CACHE", str(cache))
    for name in FOREIGN_VARIABLES:
        patch.delenv(name, raising=False)
    # Few points, boxes and climbs: tests ask whether fit and proof are right, not how tight.
    patch.setattr("vmaf_train.judging.evaluation.BOX_POINTS", 5_000)
    patch.setattr("vmaf_train.students.examples.EVEN_POINTS", 300)
    patch.setattr("vmaf_train.judging.certificate.MOST_BOXES", 60)
    patch.setattr("vmaf_train.judging.certificate.CLIMBS", 2)


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Give every test its own cache folder and an empty working folder."""
    isolate(monkeypatch, tmp_path / "cache")
    # Lightning's logger sets the store of the whole process; no public call unsets it.
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", None)
    # Without an address MLflow makes a store in the working folder.
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture(scope="session")
def ffmpeg() -> libvmaf.Ffmpeg:
    """Return the ffmpeg of imageio-ffmpeg."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("VMAF_FFMPEG", raising=False)
        return libvmaf.find_ffmpeg()


@pytest.fixture(scope="session")
def demo_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a cache with the demo corpus and the scores of all its pairs; do not change it."""
    cache = tmp_path_factory.mktemp("demo-cache")
    with pytest.MonkeyPatch.context() as patch:
        isolate(patch, cache)
        prewarm(CorpusChoice(), Reporter())
    yield cache


@pytest.fixture
def demo_choice(demo_cache: Path, monkeypatch: pytest.MonkeyPatch) -> CorpusChoice:
    """Choose the demo corpus, whose scores are cached."""
    monkeypatch.setenv("VMAF_TINY_AI_CACHE", str(demo_cache))
    return CorpusChoice()


@pytest.fixture(scope="session")
def exported(demo_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the demo corpus as a file of export-features; do not change it."""
    path = tmp_path_factory.mktemp("exported") / "features.parquet"
    with pytest.MonkeyPatch.context() as patch:
        isolate(patch, demo_cache)
        export_features(CorpusChoice(), path, Reporter())
    return path


@pytest.fixture
def no_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    """Point VMAF_FFMPEG at nothing, so that any use of ffmpeg fails."""
    monkeypatch.setenv("VMAF_FFMPEG", "no-such-ffmpeg")


def write_corpus(
    folder: Path,
    sources: tuple[str, ...] = ("Alpha", "Beta"),
    rungs: int = 2,
    frames: int = 6,
    dims: tuple[int, int] = (64, 64),
) -> Path:
    """Write a valid corpus of smooth moving refs; lower rungs are blurrier and noisier.

    Args:
        folder: gets `ref/` and `dis/`.
        sources: names.
        rungs: distorted files per source.
        frames: per file.
        dims: width and height of every file.
    """
    (folder / "ref").mkdir(parents=True)
    (folder / "dis").mkdir()
    for source in sources:
        draw = np.random.default_rng(zlib.crc32(source.encode()))
        waves = (
            draw.uniform(0.05, 0.6, size=(4, 2)),
            draw.uniform(0, 6, size=4),
            draw.uniform(0.2, 1.0, size=4),
        )
        ref = [luma_of(dims, frame, *waves) for frame in range(frames)]
        (folder / "ref" / f"{source}_25fps.yuv").write_bytes(b"".join(map(yuv420p, ref)))
        for rung in range(1, rungs + 1):
            loss = 1 - rung / (rungs + 1)
            dis = [distort(picture, loss, draw) for picture in ref]
            name = f"{source}_{10 * rung}_{dims[1]}_{100 * rung}.yuv"
            (folder / "dis" / name).write_bytes(b"".join(map(yuv420p, dis)))
    return folder


def luma_of(
    dims: tuple[int, int], frame: int, turns: np.ndarray, phases: np.ndarray, speeds: np.ndarray
) -> np.ndarray:
    """Return the luma of one frame: a sum of four moving waves."""
    y, x = np.mgrid[: dims[1], : dims[0]]
    moves = (
        np.sin(a * x + b * y + p + v * frame)
        for (a, b), p, v in zip(turns, phases, speeds, strict=True)
    )
    return 128 + 25 * sum(moves)


def distort(luma: np.ndarray, loss: float, draw: np.random.Generator) -> np.ndarray:
    """Return luma that is blurred and noisy in proportion to `loss`."""
    blurred = sum(np.roll(luma, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)) / 9
    return (1 - loss) * luma + loss * blurred + draw.normal(0, 12 * loss, luma.shape)


def yuv420p(luma: np.ndarray) -> bytes:
    """Return a frame as yuv420p bytes, without colour."""
    chroma = 2 * ((luma.shape[0] + 1) // 2) * ((luma.shape[1] + 1) // 2)
    return luma.clip(16, 235).round().astype(np.uint8).tobytes() + bytes([128]) * chroma


SMALL = YuvFormat(64, 64)


def named_pair(source: str, dis: str, frames: int, format: YuvFormat = SMALL) -> Pair:
    """Return a pair whose files do not exist."""
    ref_video = Video(Path(f"{source}_25fps.yuv"), format, 25.0)
    return Pair(source, ref_video, Video(Path(dis), format, 25.0), frames, format)


@pytest.fixture(scope="session")
def make_table() -> Callable[..., FrameTable]:
    """Return `random_table`."""
    return random_table


def random_table(
    sources: tuple[str, ...] = ("Alpha", "Beta", "Gamma"),
    clips: int = 3,
    frames: int = 40,
    seed: int = 0,
) -> FrameTable:
    """Draw feature vectors uniformly and label them with the teacher.

    Args:
        sources: names.
        clips: per source.
        frames: per clip.
        seed: of the draw.
    """
    draw, teacher = np.random.default_rng(seed), DEFAULT_TEACHER
    made = []
    for source in sources:
        for clip in range(1, clips + 1):
            dis = f"{source}_{10 * clip}_64_{100 * clip}.yuv"
            pair = named_pair(source, dis, frames)
            x_NF = draw.uniform(0.2, 1.0, (frames, 6)) * (1, 1, 1, 1, 1, 20)
            scores = {teacher.name: teacher.score(x_NF, CANONICAL.features)}
            made.append((pair, FrameScores(CANONICAL.features, x_NF, scores)))
    return FrameTable.from_clips(made)


@pytest.fixture(scope="session")
def wide_table() -> FrameTable:
    """Return a table with every column that a pass of the teacher logs.

    Its vif_scale0 is a linear function of vif_scale1 and adm2.
    """
    table = random_table()
    x_NF = table.x_NF.copy()
    x_NF[:, 1] = 0.8 * x_NF[:, 2] + 0.1 * x_NF[:, 0] - 0.05
    details_NF = np.random.default_rng(2).uniform(0.2, 1.0, (len(table), len(ADM_DETAILS)))
    y_N = DEFAULT_TEACHER.score(x_NF, CANONICAL.features)
    x_NF = np.hstack([x_NF, details_NF])
    return replace(table, features=DEFAULT_TEACHER.logged, x_NF=x_NF, y_N=y_N)


@pytest.fixture
def fake_ffmpeg(tmp_path: Path, ffmpeg: libvmaf.Ffmpeg) -> Callable[[str], Path]:
    """Return a function that writes a shell script to use as ffmpeg; "$REAL" is the real one."""

    def make(script: str) -> Path:
        path = tmp_path / "fake-ffmpeg"
        path.write_text(f"#!/bin/sh\nREAL='{ffmpeg.path}'\n{script}\n")
        path.chmod(0o755)
        return path

    return make


@pytest.fixture(scope="session")
def store_template(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], str]:
    """Return a function that puts an empty SQLite store into a folder and returns its address.

    The store is copied, because MLflow takes seconds to make one.
    """
    from mlflow import MlflowClient

    made = tmp_path_factory.mktemp("store") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made.parent)  # where a store is made decides where its artifacts go
        MlflowClient(f"sqlite:///{made}").search_experiments()

    def copy(folder: Path) -> str:
        shutil.copy(made, folder / "mlflow.db")
        return f"sqlite:///{folder / 'mlflow.db'}"

    return copy


@pytest.fixture
def store(
    store_template: Callable[[Path], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Point MLflow at an empty SQLite store and return its address."""
    address = store_template(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    return address


@pytest.fixture
def cold_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point MLflow at an SQLite store that does not exist; return the folder that would hold it."""
    folder = tmp_path / "cold"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    return folder


@pytest.fixture(scope="session")
def trained_once(demo_cache, store_template, tmp_path_factory) -> tuple[str, Trained]:
    """Train mlp_small on the demo corpus; return the address of the store, and the result."""
    address = store_template(tmp_path_factory.mktemp("trained"))
    with pytest.MonkeyPatch.context() as patch:
        isolate(patch, demo_cache)
        patch.setenv("MLFLOW_TRACKING_URI", address)
        return address, train(CorpusChoice(), "mlp_small", Settings(), Reporter())


@pytest.fixture
def trained(trained_once, monkeypatch) -> tuple[Trained, Run]:
    """Return a training with default settings, and its run, in the store that MLflow uses."""
    address, done = trained_once
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    return done, only_run()


# What the runs of `ids` are trained with, by name; "small" is `trained_once`.
RUNS = {
    "short": {"arch": "mlp_small", "epochs": 4},
    "linear": {"arch": "linear"},
    "quintic": {"arch": "quintic", "epochs": 1, "teacher_points": 256},
    "medium": {"arch": "mlp_medium", "epochs": 4},
    "other hold-out": {"arch": "mlp_small", "epochs": 4, "val_source": "Colony"},
    "smoke": {"arch": "mlp_small", "epochs": 0, "assume_dims": "16x16"},
}


@pytest.fixture(scope="session")
def runs(trained_once, demo_cache, tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """Train a student for each of `RUNS`; return the SQLite file and the run ids by name."""
    address, done = trained_once
    database = tmp_path_factory.mktemp("runs") / "mlflow.db"
    shutil.copy(address.removeprefix("sqlite:///"), database)
    ids = {"small": done.links.run_id}
    with pytest.MonkeyPatch.context() as patch:
        isolate(patch, demo_cache)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
        for name, options in RUNS.items():
            ids[name] = train(
                CorpusChoice(assume_dims=options.get("assume_dims", "auto")),
                options["arch"],
                Settings(
                    epochs=options.get("epochs", Settings.epochs),
                    teacher_points=options.get("teacher_points", Settings.teacher_points),
                ),
                Reporter(),
                val_source=options.get("val_source", "auto"),
            ).links.run_id
    return database, ids


@pytest.fixture
def ids(runs, tmp_path, monkeypatch) -> dict[str, str]:
    """Return run ids by name; the test has its own registry and works in an empty checkout."""
    database, ids = runs
    shutil.copy(database, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    (tmp_path / "checkout" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "checkout")
    return ids
