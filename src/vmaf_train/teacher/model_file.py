"""libvmaf's model files: which features a model reads, with which options, and its SVR.

Source: the JSON files that libvmaf publishes (here the copies in ffmpeg-quality-metrics), and
libvmaf's read_json_model.c. The text of the SVR is libsvm's.
"""

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vmaf_train.errors import InputError
from vmaf_train.feature_names import Extractors, Feature, feature_of
from vmaf_train.features import model_name
from vmaf_train.files import read_whole
from vmaf_train.teacher.svr import Svr

# What begins a feature's name in a model file, and what ends it.
PREFIXES = ("VMAF_integer_feature_", "Cambi_feature_", "Speed_chroma_feature_", "integer_")
SUFFIX = "_score"
NEXT = (
    "name a model of libvmaf, or pass a model file with one nu-SVR; if the package's own file is "
    "broken, run: pip install --force-reinstall ffmpeg-quality-metrics"
)

# What reading a file that is none of libvmaf's can raise.
UNREADABLE = (
    InputError,
    OSError,
    KeyError,
    ValueError,
    IndexError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A model of libvmaf that is one SVR.

    Attributes:
        features: what the model reads, in the order of its columns.
        svr: the model.
        path: the file.
        sha256: hash of the file's bytes.
    """

    features: tuple[Feature, ...]
    svr: Svr
    path: Path
    sha256: str


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


def read_model(path: Path, more_options: Extractors | None = None) -> ModelFile:
    """Read a libvmaf model file.

    Args:
        path: the file.
        more_options: options of extractors that are added to those of the file.

    Raises:
        InputError: the file is missing, or it holds something else than one nu-SVR with an RBF
            kernel and linear rescaling, or it reads features that students cannot read.
    """
    try:
        content = read_whole(path)
        model = _dictionary_in(json.loads(content))
        return ModelFile(
            features := _features_of(model, more_options or {}),
            _svr_of(model, features),
            path,
            hashlib.sha256(content).hexdigest(),
        )
    except UNREADABLE as error:
        raise InputError(f"{path} is not a readable teacher model ({error}); {NEXT}") from error


def _dictionary_in(content: Any) -> Mapping[str, Any]:
    """Return the dictionary of a model; refuse what libvmaf can run and we cannot read."""
    if "model_dict" not in content and any("model_dict" in str(part) for part in content.values()):
        raise InputError("it is a collection of models, as for bootstrapping")
    model: Mapping[str, Any] = content["model_dict"]
    if (kind := model["model_type"]) != "LIBSVMNUSVR":
        raise InputError(f"its model_type is {kind}, only LIBSVMNUSVR is known")
    if (norm := model["norm_type"]) != "linear_rescale":
        raise InputError(f"its norm_type is {norm}, only linear_rescale is known")
    if "score_clip" not in model:
        raise InputError("it has no score_clip, so its scores have no range")
    return model


def _features_of(model: Mapping[str, Any], more_options: Extractors) -> tuple[Feature, ...]:
    names = model["feature_names"]
    options = model.get("feature_opts_dicts") or [{}] * len(names)
    features = []
    for name, own in zip(names, options, strict=True):
        feature = feature_of(_stem_of(name), own)
        more = more_options.get(feature.extractor, {})
        features.append(feature_of(feature.stem, {**own, **more}))
    return tuple(features)


def _stem_of(name: str) -> str:
    """Return a feature's name in logs: `VMAF_integer_feature_adm2_score` is `adm2`."""
    for prefix in PREFIXES:
        stem = name.removeprefix(prefix).removesuffix(SUFFIX)
        if name.startswith(prefix) and model_name(feature_of(stem, {}).name) == name:
            return stem
    raise InputError(f"it reads the feature {name}, which students cannot read")


def _svr_of(model: Mapping[str, Any], features: tuple[Feature, ...]) -> Svr:
    header, vectors = model["model"].split("\nSV\n")
    fields = dict(line.split(" ", 1) for line in header.splitlines())
    if (kind := (fields["svm_type"], fields["kernel_type"])) != ("nu_svr", "rbf"):
        raise InputError(f"it is a {kind[0]} with a {kind[1]} kernel, not a nu_svr with rbf")
    weights_S, support_SF = _parse_vectors(vectors, len(features))
    low, high = (float(limit) for limit in model["score_clip"])
    svr = Svr(
        features=tuple(feature.name for feature in features),
        slopes=np.array(model["slopes"], dtype=np.float64),
        intercepts=np.array(model["intercepts"], dtype=np.float64),
        support_SF=support_SF,
        weights_S=weights_S,
        rho=float(fields["rho"]),
        gamma=float(fields["gamma"]),
        clip=(low, high),
        transform=_transform_of(model.get("score_transform") or {}),
        chroma_correction=float(model.get("chroma_correction_parameter") or 0),
    )
    _check_numbers(svr)
    return svr


def _check_numbers(svr: Svr) -> None:
    """Refuse numbers that no score can be computed with.

    Raises:
        InputError: a number is not finite, a range is empty, or a list has another length.
    """
    arrays = (svr.slopes, svr.intercepts, svr.support_SF, svr.weights_S)
    numbers = (svr.rho, svr.gamma, *svr.clip, *svr.transform, svr.chroma_correction)
    if not all(np.isfinite(array).all() for array in (*arrays, np.array(numbers))):
        raise InputError("it has a number that is not finite")
    if {svr.slopes.shape, svr.intercepts.shape} != {(len(svr.features) + 1,)}:
        raise InputError("its slopes and intercepts are not one per feature and one for the score")
    if not svr.slopes.all() or svr.clip[0] >= svr.clip[1] or not len(svr.weights_S):
        raise InputError("it has a slope of 0, a score_clip without scores, or no vectors")


def _transform_of(transform: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the coefficients of the polynomial that a model applies to its scores.

    The transform in the file of vmaf_v0.6.1 is for phones; it is off there.
    """
    if not transform.get("enabled"):
        return ()
    if unknown := sorted(set(transform) - {"enabled", "p0", "p1", "p2"}):
        raise InputError(f"its score_transform has {', '.join(unknown)}, only p0 to p2 are known")
    return tuple(float(transform.get(key, 0)) for key in ("p0", "p1", "p2"))


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
            if not 1 <= int(column) <= n_features:
                raise InputError(f"a vector has column {column}, and there are {n_features}")
            support_SF[row, int(column) - 1] = float(value)
    return weights_S, support_SF
