"""The fusion of a VMAF model in NumPy: a support-vector regressor, read from libvmaf's model JSON.

Source: the model files that libvmaf publishes (here the copies in ffmpeg-quality-metrics) and
libvmaf's predict.c: features are rescaled linearly, a nu-SVR with an RBF kernel (libsvm's text
format) gives a value, and the value is rescaled back and clipped. The `score_transform` in the file
of vmaf_v0.6.1 is for phone screens; libvmaf does not apply it by default, nor do we.
"""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vmaf_train.errors import InputError

# Rows per evaluation of the kernel, to bound memory.
ROWS_PER_CHUNK = 16384


@dataclass(frozen=True, eq=False)
class Svr:
    """A nu-SVR with an RBF kernel, and the linear rescaling around it.

    Attributes:
        features: feature names, in the order of the model's columns.
        slopes, intercepts: float64 of shape (features + 1,); element 0 rescales the score.
        support_SF: float64 of shape (support vectors, features), rescaled.
        weights_S: float64 of shape (support vectors,).
        rho: offset that is subtracted from the kernel sum.
        gamma: factor of the squared distance in the RBF kernel.
        clip: lowest and highest score.
    """

    features: tuple[str, ...]
    slopes: np.ndarray
    intercepts: np.ndarray
    support_SF: np.ndarray
    weights_S: np.ndarray
    rho: float
    gamma: float
    clip: tuple[float, float]

    def score(self, x_NF: np.ndarray, features: Sequence[str], clip: bool = True) -> np.ndarray:
        """Score feature vectors.

        Args:
            x_NF: float of shape (frames, features), raw libvmaf values.
            features: names of the columns, in any order.
            clip: limit scores to `clip`, as libvmaf does. Without it the function is smooth.

        Returns:
            float64 of shape (frames,), in score points.
        """
        order = [list(features).index(name) for name in self.features]
        scaled_NF = x_NF[:, order].astype(np.float64) * self.slopes[1:] + self.intercepts[1:]

        value_N = np.empty(len(scaled_NF))
        for start in range(0, len(scaled_NF), ROWS_PER_CHUNK):
            rows = slice(start, start + ROWS_PER_CHUNK)
            value_N[rows] = self._kernel_sum(scaled_NF[rows]) - self.rho

        score_N: np.ndarray = (value_N - self.intercepts[0]) / self.slopes[0]
        return score_N.clip(*self.clip) if clip else score_N

    def _kernel_sum(self, z_NF: np.ndarray) -> np.ndarray:
        """Return sum_s weight_s exp(-gamma |z - support_s|^2) for each row."""
        # |z - s|^2 = |z|^2 + |s|^2 - 2 z.s
        squares_NS = (z_NF**2).sum(1)[:, None] + (self.support_SF**2).sum(1)
        distances_NS = squares_NS - 2 * z_NF @ self.support_SF.T
        total_N: np.ndarray = np.exp(-self.gamma * distances_NS) @ self.weights_S
        return total_N


def read_svr(path: Path) -> Svr:
    """Read a libvmaf model JSON.

    Raises:
        InputError: the file is missing, or it holds no nu-SVR with linear rescaling.
    """
    try:
        return _parse(json.loads(path.read_text())["model_dict"])
    except (OSError, KeyError, ValueError, IndexError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a readable teacher model ({error}); "
            "run: pip install --force-reinstall ffmpeg-quality-metrics"
        ) from error


def packaged_model(name: str) -> Path:
    """Return the path of the model file of this name in the package ffmpeg-quality-metrics.

    Raises:
        InputError: the package is not installed.
    """
    # Find the package without importing it, which takes longer.
    spec = importlib.util.find_spec("ffmpeg_quality_metrics")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"the model file of {name} is missing; run: pip install ffmpeg-quality-metrics"
        )
    return Path(spec.submodule_search_locations[0]) / "vmaf_models" / f"{name}.json"


def _parse(model: Mapping[str, Any]) -> Svr:
    kind = (model["model_type"], model["norm_type"])
    if kind != ("LIBSVMNUSVR", "linear_rescale"):
        raise ValueError(f"{kind[0]} with {kind[1]} is not supported")

    header, vectors = model["model"].split("\nSV\n")
    fields = dict(line.split(" ", 1) for line in header.splitlines())
    weights_S, support_SF = _parse_vectors(vectors, len(model["feature_names"]))
    return Svr(
        # "VMAF_integer_feature_vif_scale0_score" -> "vif_scale0"
        features=tuple(
            name.split("_feature_")[1].removesuffix("_score") for name in model["feature_names"]
        ),
        slopes=np.array(model["slopes"]),
        intercepts=np.array(model["intercepts"]),
        support_SF=support_SF,
        weights_S=weights_S,
        rho=float(fields["rho"]),
        gamma=float(fields["gamma"]),
        clip=tuple(model["score_clip"]),
    )


def _parse_vectors(text: str, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """Read libsvm's lines `weight 1:value 2:value ...`; a line can leave out zeros.

    Returns:
        The weights, float64 of shape (lines,), and the vectors, float64 of shape (lines, features).
    """
    lines = [line.split() for line in text.strip().splitlines()]
    weights_S = np.array([float(line[0]) for line in lines])
    support_SF = np.zeros((len(lines), n_features))
    for row, line in enumerate(lines):
        for cell in line[1:]:
            column, value = cell.split(":")
            support_SF[row, int(column) - 1] = float(value)
    return weights_S, support_SF
