"""Synthetic opinion scores for tests: a known function of the features, plus noise of subjects."""

from pathlib import Path

import numpy as np

from vmaf_train.frames.table import FrameTable

NOISE = 3.0


def synthetic_truth(table: FrameTable) -> np.ndarray:
    """Return noiseless scores of the clips: the teacher's, bent by a few points."""
    motion = table.x_NF[:, table.features.index("motion2")]
    frame_N = table.y_N + 5 * np.sin(table.y_N / 16) - 3 * np.tanh((motion - 4) / 4)
    return np.array([frame_N[rows].mean() for rows in table.clip_rows])


def synthetic_scores(table: FrameTable, seed: int = 0) -> np.ndarray:
    """Return scores of the clips, with noise."""
    noise = np.random.default_rng(seed).standard_normal(len(table.clips))
    return synthetic_truth(table) + NOISE * noise


def write_scores(path: Path, names: tuple[str, ...], scores: np.ndarray) -> Path:
    """Write a list of scores of clips."""
    rows = [f"{name}.yuv,{score:.4f}" for name, score in zip(names, scores, strict=True)]
    path.write_text("\n".join(["name,score", *rows]) + "\n")
    return path
