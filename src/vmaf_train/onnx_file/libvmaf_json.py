"""libvmaf's model JSON of a polynomial student.

Source: libvmaf's read_json_model.c and predict.c; libsvm's svm.cpp for the text of the model, one
line `weight index:value ...` per point.
"""

import json
from collections.abc import Mapping

import numpy as np

from vmaf_train.features import SCORE_MAX, SCORE_MIN, FeatureSet, model_name
from vmaf_train.onnx_file.polynomial import GAMMA, Kernels

HEADER = (
    "svm_type nu_svr\nkernel_type polynomial\ndegree {degree}\ngamma {gamma}\ncoef0 1\n"
    "nr_class 2\ntotal_sv {points}\nrho 0\nSV\n"
)


def write_json(
    kernels: Kernels,
    features: FeatureSet,
    facts: Mapping[str, str],
    score_range: tuple[float, float] = (SCORE_MIN, SCORE_MAX),
    chroma_correction: float = 0.0,
) -> bytes:
    """Return the file that libvmaf reads; every number is read back as the same float64.

    Args:
        kernels: the student.
        features: the feature set that it reads.
        facts: further keys of the file, which libvmaf skips.
        score_range: lowest and highest score.
        chroma_correction: parameter of v1's correction of chroma; 0 for none.
    """
    header = HEADER.format(degree=kernels.degree, gamma=GAMMA, points=len(kernels.weights_P))
    pairs = zip(kernels.weights_P.tolist(), kernels.points_PF.tolist(), strict=True)
    lines = [" ".join([repr(weight), *_cells(point)]) for weight, point in pairs]
    model: dict[str, object] = {
        "model_type": "LIBSVMNUSVR",
        "norm_type": "linear_rescale",
        "score_clip": list(score_range),
        "feature_names": [model_name(feature) for feature in features.features],
        "feature_opts_dicts": [dict(features.options_of(name)) for name in features.features],
        # Element 0 rescales the score.
        "slopes": [1.0, *kernels.slopes_F.tolist()],
        "intercepts": [0.0, *kernels.shifts_F.tolist()],
        # libsvm's writer ends each line with a space.
        "model": header + "".join(f"{line} \n" for line in lines),
    }
    if chroma_correction:
        model["chroma_correction_parameter"] = chroma_correction
    return to_bytes(model, facts)


def to_bytes(model: Mapping[str, object], facts: Mapping[str, str]) -> bytes:
    """Return a model's file: the dictionary that libvmaf reads, and further keys."""
    return f"{json.dumps({'model_dict': model, **facts}, indent=1)}\n".encode()


def read_json(content: bytes) -> Kernels:
    """Read back a file of `write_json`, number by number, as libvmaf does."""
    model = json.loads(content)["model_dict"]
    header, lines = model["model"].split("SV\n")
    fields = dict(line.split(" ", 1) for line in header.splitlines())
    cells = [line.split() for line in lines.splitlines()]
    points_PF = np.zeros((len(cells), len(model["feature_names"])))
    for point, (_, *coordinates) in enumerate(cells):
        for coordinate in coordinates:
            index, value = coordinate.split(":")
            points_PF[point, int(index) - 1] = float(value)
    return Kernels(
        degree=int(fields["degree"]),
        slopes_F=np.array(model["slopes"][1:]),
        shifts_F=np.array(model["intercepts"][1:]),
        points_PF=points_PF,
        weights_P=np.array([float(weight) for weight, *_ in cells]),
    )


def _cells(point: list[float]) -> list[str]:
    """Return the coordinates of a point that are not 0, as libsvm writes them; indices from 1."""
    return [f"{index}:{value:g}" for index, value in enumerate(point, 1) if value]
