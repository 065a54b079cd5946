"""Small corpora, a warm demo cache, and MLflow stores of a test's own."""

import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from promotion import train

from vmaf_train.clips.pairs import Pair
from vmaf_train.clips.video import Video, YuvFormat
from vmaf_train.commands.prewarm import prewarm
from vmaf_train.commands.train import train as train_command
from vmaf_train.extraction import libvmaf
from vmaf_train.extraction.logs import FrameScores
from vmaf_train.features import CANONICAL
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.frames.table import FrameTable
from vmaf_train.reporting import Reporter
from vmaf_train.students.settings import Settings
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

# Where other processes are busy too, torch's threads wait for one another for minutes; the weights are the same.
torch.set_num_threads(1)
FOREIGN_VARIABLES = (
    "VMAF_FFMPEG",
    "MLFLOW_RUN_ID",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_ALLOW_FILE_STORE",
)


def isolate(patch: pytest.MonkeyPatch, cache: Path) -> None:
    patch.setenv("VMAF_TINY_AI_CACHE", str(cache))
    for name in FOREIGN_VARIABLES:
        patch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path / "cache")
    # Lightning's logger sets the store for the whole process.
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", None)
    # A run without a store would make one in the working folder.
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture(scope="session")
def ffmpeg() -> libvmaf.Ffmpeg:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("VMAF_FFMPEG", raising=False)
        return libvmaf.find_ffmpeg()


@pytest.fixture(scope="session")
def demo_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder with the demo corpus made and every pair of it extracted; read it, do not change it."""
    cache = tmp_path_factory.mktemp("demo-cache")
    with pytest.MonkeyPatch.context() as patch:
        isolate(patch, cache)
        prewarm(CorpusChoice(), Reporter())
    yield cache


@pytest.fixture(scope="session")
def make_corpus() -> Callable[..., Path]:
    return write_corpus


def write_corpus(
    folder: Path,
    sources: tuple[str, ...] = ("Alpha", "Beta"),
    rungs: int = 2,
    frames: int = 6,
    dims: tuple[int, int] = (64, 64),
) -> Path:
    """Write a valid corpus: smooth moving refs; the lower the rung, the blurrier and noisier the dis."""
    (folder / "ref").mkdir(parents=True)
    (folder / "dis").mkdir()
    for source in sources:
        draw = np.random.default_rng(zlib.crc32(source.encode()))
        waves = (
            draw.uniform(0.05, 0.6, size=(4, 2)),
            draw.uniform(0, 6, size=4),
            draw.uniform(0.2, 1.0, size=4),
        )
        ref = [_picture(dims, frame, *waves) for frame in range(frames)]
        (folder / "ref" / f"{source}_25fps.yuv").write_bytes(b"".join(map(_yuv420p, ref)))
        for rung in range(1, rungs + 1):
            loss = 1 - rung / (rungs + 1)
            dis = [_worse(picture, loss, draw) for picture in ref]
            name = f"{source}_{10 * rung}_{dims[1]}_{100 * rung}.yuv"
            (folder / "dis" / name).write_bytes(b"".join(map(_yuv420p, dis)))
    return folder


def _picture(
    dims: tuple[int, int], frame: int, turns: np.ndarray, phases: np.ndarray, speeds: np.ndarray
) -> np.ndarray:
    y, x = np.mgrid[: dims[1], : dims[0]]
    moves = (
        np.sin(a * x + b * y + p + v * frame)
        for (a, b), p, v in zip(turns, phases, speeds, strict=True)
    )
    return 128 + 25 * sum(moves)


def _worse(luma: np.ndarray, loss: float, draw: np.random.Generator) -> np.ndarray:
    blurred = sum(np.roll(luma, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)) / 9
    return (1 - loss) * luma + loss * blurred + draw.normal(0, 12 * loss, luma.shape)


def _yuv420p(luma: np.ndarray) -> bytes:
    chroma = 2 * ((luma.shape[0] + 1) // 2) * ((luma.shape[1] + 1) // 2)
    return luma.clip(16, 235).round().astype(np.uint8).tobytes() + bytes([128]) * chroma


SMALL = YuvFormat(64, 64)


def named_pair(source: str, dis: str, frames: int, format: YuvFormat = SMALL) -> Pair:
    """Return a pair that is only named: no file of it exists."""
    ref_video = Video(Path(f"{source}_25fps.yuv"), format, 25.0)
    return Pair(source, ref_video, Video(Path(dis), format, 25.0), frames, format)


@pytest.fixture(scope="session")
def make_table() -> Callable[..., FrameTable]:
    return _make_table


def _make_table(
    sources: tuple[str, ...] = ("Alpha", "Beta", "Gamma"),
    clips: int = 3,
    frames: int = 40,
    seed: int = 0,
) -> FrameTable:
    """Build a table of feature vectors drawn from the box they live in, scored by the teacher itself."""
    draw, teacher = np.random.default_rng(seed), DEFAULT_TEACHER
    made = []
    for source in sources:
        for clip in range(1, clips + 1):
            dis = f"{source}_{10 * clip}_64_{100 * clip}.yuv"
            pair = named_pair(source, dis, frames)
            x_NF = draw.uniform(0.2, 1.0, (frames, 6)) * (1, 1, 1, 1, 1, 20)
            made.append(
                (
                    pair,
                    FrameScores(CANONICAL.features, x_NF, teacher.score(x_NF, CANONICAL.features)),
                )
            )
    return FrameTable.from_clips(made)


@pytest.fixture
def fake_ffmpeg(tmp_path: Path, ffmpeg: libvmaf.Ffmpeg) -> Callable[[str], Path]:
    """Give a maker of shell scripts that stand in for ffmpeg; the real one is "$REAL" in them."""

    def make(script: str) -> Path:
        path = tmp_path / "fake-ffmpeg"
        path.write_text(f"#!/bin/sh\nREAL='{ffmpeg.path}'\n{script}\n")
        path.chmod(0o755)
        return path

    return make


@pytest.fixture(scope="session")
def store_template(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], str]:
    """What copies an empty SQLite store into a folder and gives its address; making a new one takes seconds."""
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
    """Point MLflow at an empty SQLite store of the test's own."""
    address = store_template(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    return address


@pytest.fixture
def cold_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point MLflow at an SQLite store that does not exist yet; return the folder it would be made in."""
    folder = tmp_path / "cold"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    return folder


@pytest.fixture(scope="session")
def runs(demo_cache, store_template, tmp_path_factory):
    """Train a few students once; return the store's address and the run ids by what they are."""
    address = store_template(tmp_path_factory.mktemp("runs"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VMAF_TINY_AI_CACHE", str(demo_cache))
        patch.setenv("MLFLOW_TRACKING_URI", address)
        ids = {
            "small": train("mlp_small"),
            "short": train("mlp_small", epochs=4),
            "linear": train("linear"),
        }
        ids["medium"] = train("mlp_medium", epochs=4)
        done = train_command(
            CorpusChoice(), "mlp_small", Settings(epochs=4), Reporter(), val_source="Colony"
        )
        ids["other hold-out"] = done.links.run_id
        smoke = train_command(
            CorpusChoice(assume_dims="16x16"),
            "mlp_small",
            Settings(epochs=0),
            Reporter(),
            val_source="auto",
        )
        ids["smoke"] = smoke.links.run_id
    return address, ids


@pytest.fixture
def ids(runs, tmp_path, monkeypatch):
    """Give the test a registry of its own over those runs, and a checkout with an empty model/ as working folder."""
    address, ids = runs
    shutil.copy(address.removeprefix("sqlite:///"), tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    (tmp_path / "checkout" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "checkout")
    return ids
