"""The teacher itself, without any pixel: vmaf_v0.6.1's support-vector regressor read from its model JSON.

Source: the model file as published with libvmaf (here the copy in ffmpeg-quality-metrics' package data) and
libvmaf's predict step: features rescaled linearly, nu-SVR with an RBF kernel (libsvm text format), score
rescaled back and clipped to [0, 100]. The file's score transform is for phone screens and stays off, as in libvmaf.
"""

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from vmaf_train.errors import InputError
from vmaf_train.features import HIGHEST, TEACHER

# Share of the largest spread below which features differ by the log's six decimals: adm3 is made of adm2 and aim.
ROUNDING = 1e-4


@dataclass(frozen=True, eq=False)
class Teacher:
    """A VMAF support-vector regressor.

    Attributes:
        features: names in the order of the model's own columns.
        slopes, intercepts: float64 of shape (features + 1,); the score's own first.
        support_SF: float64 of shape (support vectors, features), rescaled.
        weights_S: float64 of shape (support vectors,).
        rho, gamma: offset and RBF width.
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

    def score(
        self, x_NF: np.ndarray, features: tuple[str, ...], chunk: int = 16384, clip: bool = True
    ) -> np.ndarray:
        """Score feature vectors.

        Args:
            x_NF: float of shape (frames, features), raw libvmaf values.
            features: the names of its columns, in any order; matched by name.
            chunk: rows held against all support vectors at once, to bound memory.
            clip: limit the scores to 0 to 100, as libvmaf does; without it the function stays smooth.

        Returns:
            float64 of shape (frames,).
        """
        order = [features.index(name) for name in self.features]
        scaled_NF = x_NF[:, order].astype(np.float64) * self.slopes[1:] + self.intercepts[1:]
        raw_N = np.empty(len(scaled_NF))
        for start in range(0, len(scaled_NF), chunk):
            part = scaled_NF[start : start + chunk]
            distances = (
                (part**2).sum(1)[:, None]
                + (self.support_SF**2).sum(1)
                - 2 * part @ self.support_SF.T
            )
            raw_N[start : start + chunk] = (
                np.exp(-self.gamma * distances) @ self.weights_S - self.rho
            )
        unclipped_N: np.ndarray = (raw_N - self.intercepts[0]) / self.slopes[0]
        return unclipped_N.clip(*self.clip) if clip else unclipped_N


class CompletedTeacher:
    """The teacher for feature sets that lack some of its features: these are predicted from the features of the set.

    By linear least squares on training rows, which have both. A set that lacks nothing gets the teacher itself.

    Args:
        features: names of the set's features, in order.
        x_NF: float64 of shape (rows, features), training rows of the set.
        missing_NM: float64 of shape (rows, missing features), the same rows' columns of `missing_of(features)`.
    """

    def __init__(self, features: Sequence[str], x_NF: np.ndarray, missing_NM: np.ndarray) -> None:
        self._names = (*features, *missing_of(features))
        self._highest = [HIGHEST[name] for name in missing_of(features)]
        self._mean_F, self._mean_M, deviation_F = x_NF.mean(0), missing_NM.mean(0), x_NF.std(0)
        self._scale_F = np.where(deviation_F > 0, deviation_F, 1.0)
        self._slopes = np.zeros((len(features), 0))
        if self._highest:
            z_NF = (x_NF - self._mean_F) / self._scale_F
            self._slopes = np.linalg.lstsq(z_NF, missing_NM - self._mean_M, rcond=ROUNDING)[0]

    def score(self, x_NF: np.ndarray, clip: bool = True) -> np.ndarray:
        """Score rows of the set, float of shape (frames, features), to float64 of shape (frames,)."""
        z_NF = (x_NF - self._mean_F) / self._scale_F
        predicted = np.clip(z_NF @ self._slopes + self._mean_M, 0, self._highest)
        return load_teacher().score(np.hstack([x_NF, predicted]), self._names, clip=clip)


def missing_of(features: Sequence[str]) -> tuple[str, ...]:
    """Return what the teacher reads beyond these features."""
    return tuple(name for name in load_teacher().features if name not in features)


@cache
def load_teacher(path: Path | None = None) -> Teacher:
    """Read a teacher from a libvmaf model JSON; without a path, vmaf_v0.6.1 from the installed package data.

    Raises:
        InputError: the file is missing or not a linear-rescale nu-SVR model.
    """
    path = path or _packaged_model()
    try:
        model = json.loads(path.read_text())["model_dict"]
        if (model["model_type"], model["norm_type"]) != ("LIBSVMNUSVR", "linear_rescale"):
            raise ValueError(f"{model['model_type']} with {model['norm_type']}")
        header, vectors = model["model"].split("\nSV\n")
        fields = dict(line.split(" ", 1) for line in header.splitlines())
        rows = [line.split() for line in vectors.strip().splitlines()]
        weights_S = np.array([float(row[0]) for row in rows])
        support_SF = np.zeros((len(rows), len(model["feature_names"])))
        for row, cells in zip(support_SF, rows, strict=True):
            for cell in cells[1:]:
                index, value = cell.split(":")
                row[int(index) - 1] = float(value)
        return Teacher(
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
    except (OSError, KeyError, ValueError, IndexError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a readable teacher model ({error}); "
            "run: pip install --force-reinstall ffmpeg-quality-metrics"
        ) from error


def _packaged_model() -> Path:
    # Found without importing the package: only its data is wanted.
    spec = importlib.util.find_spec("ffmpeg_quality_metrics")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"the model file of {TEACHER} is missing; run: pip install ffmpeg-quality-metrics"
        )
    return Path(spec.submodule_search_locations[0]) / "vmaf_models" / f"{TEACHER}.json"
