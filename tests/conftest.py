"""Small corpora, a warm demo cache, and MLflow stores of a test's own."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from vmaf_train import libvmaf, pipeline

VARIABLES = (
    "VMAF_FFMPEG",
    "MLFLOW_RUN_ID",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_ALLOW_FILE_STORE",
)


@pytest.fixture(autouse=True)
def environment_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test an empty cache, and an empty folder where a run without a store would make one."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VMAF_TINY_AI_CACHE", str(tmp_path / "vmaf-cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture(scope="session")
def ffmpeg() -> libvmaf.Ffmpeg:
    return libvmaf.find_ffmpeg()


@pytest.fixture(scope="session")
def demo_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache folder in which the demo corpus is made and prewarmed."""
    folder = tmp_path_factory.mktemp("demo") / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VMAF_TINY_AI_CACHE", str(folder))
        pipeline.prewarm(pipeline.CorpusChoice(), pipeline.Reporter())
    return folder


@pytest.fixture(scope="session")
def store_template(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], str]:
    """Return what copies an empty SQLite store into a folder and gives its address; making one takes seconds."""
    from mlflow import MlflowClient

    made = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{made}").search_experiments()

    def copy(folder: Path) -> str:
        shutil.copy(made, folder / "mlflow.db")
        return f"sqlite:///{folder / 'mlflow.db'}"

    return copy


@pytest.fixture
def store(store_template: Callable[[Path], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Point MLflow at an empty SQLite store of the test's own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_template(tmp_path))
    yield os.environ["MLFLOW_TRACKING_URI"]


@pytest.fixture
def cold_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point MLflow at an SQLite store that does not exist yet; return the folder it would be made in."""
    folder = tmp_path / "cold"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    return folder


def make_corpus(
    folder: Path,
    sources: tuple[str, ...] = ("Alpha", "Beta"),
    rungs: int = 2,
    frames: int = 6,
    dims: tuple[int, int] = (64, 64),
) -> Path:
    """Write a small corpus in the Netflix layout: moving waves, and the same under growing noise."""
    width, height = dims
    for kind in ("ref", "dis"):
        (folder / kind).mkdir(parents=True)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    for index, source in enumerate(sources):
        luma = [128 + 60 * np.sin((x + (index + 1) * n) / 5) * np.cos((y - n) / (3 + index)) for n in range(frames)]
        clips = {f"ref/{source}_25fps.yuv": 0.0}
        clips |= {f"dis/{source}_{10 * r}_{height // 2}_{100 * r}.yuv": 40.0 / r for r in range(1, rungs + 1)}
        for name, noise in clips.items():
            chroma = np.full(2 * ((width + 1) // 2) * ((height + 1) // 2), 128, np.uint8)
            noisy = [np.clip(frame + rng.normal(0, noise, frame.shape), 0, 255) for frame in luma]
            parts = [part for frame in noisy for part in (frame.astype(np.uint8).ravel(), chroma)]
            (folder / name).write_bytes(np.concatenate(parts).tobytes())
    return folder
