"""Feature sets: which libvmaf features a student reads, in which order, under which log keys.

Source: the keys of libvmaf's JSON log, `integer_<name>`; older builds write `<name>`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from vmaf_train.errors import InputError

# The extractor that reads neighbouring frames, and the feature of it that students read.
MOTION_EXTRACTOR, MOTION_FEATURE = "name=motion", "motion2"
# Range of a student's scores, in score points.
SCORE_MIN, SCORE_MAX = 0.0, 100.0


@dataclass(frozen=True)
class FeatureSet:
    """A name for some libvmaf features, in the column order of matrices and of the ONNX input.

    Attributes:
        name: value of the option `features`.
        features: feature names, in order.
        extraction: value of libvmaf's option `feature`: only the extractors that these need.
        cost: CPU time of that pass; full VMAF is 1. Measured by benchmarks/score.py at 1920x1080.
    """

    name: str
    features: tuple[str, ...]
    extraction: str
    cost: float

    @property
    def still(self) -> str:
        """The part of `extraction` that reads single frames, for a pass that skips frames."""
        extractors = self.extraction.split("|")
        return "|".join(name for name in extractors if name != MOTION_EXTRACTOR)


# libvmaf computes these together with adm2, at no extra cost. Builds before libvmaf 3.1 log neither
# adm3 nor aim.
ADM_SCALES = ("adm_scale0", "adm_scale1", "adm_scale2", "adm_scale3")
ADM_DETAILS = (*ADM_SCALES, "adm3", "aim")
FEATURE_SETS = {
    row.name: row
    for row in (
        FeatureSet(
            name="canonical",
            features=("adm2", "vif_scale0", "vif_scale1", "vif_scale2", "vif_scale3", "motion2"),
            extraction="name=vif|name=adm|name=motion",
            cost=1.0,
        ),
        FeatureSet(
            name="lite",
            features=("adm2", *ADM_SCALES, "vif_scale1", "vif_scale2", "vif_scale3", "motion2"),
            extraction=r"name=vif\:vif_skip_scale0=true|name=adm\:adm_skip_aim=true|name=motion",
            cost=0.58,
        ),
        FeatureSet(
            name="lite_vif",
            features=("adm2", "vif_scale1", "vif_scale2", "vif_scale3", "motion2"),
            extraction=r"name=vif\:vif_skip_scale0=true|name=adm|name=motion",
            cost=0.60,
        ),
        FeatureSet(
            name="fast",
            features=("adm2", *ADM_DETAILS, "motion2"),
            extraction="name=adm|name=motion",
            cost=0.36,
        ),
    )
}
# The features of vmaf_v0.6.1: the default of every option, and the input of an ONNX file that names
# no features.
CANONICAL = FEATURE_SETS["canonical"]
# Every feature that a student can read.
KNOWN = tuple(dict.fromkeys(name for row in FEATURE_SETS.values() for name in row.features))

# One frame of the corpus `real` (clip yoga-07, frame 2; teacher score 82.1), for the examples
# on model cards.
EXAMPLE = {
    "adm2": 0.944,
    "vif_scale0": 0.463,
    "vif_scale1": 0.908,
    "vif_scale2": 0.948,
    "vif_scale3": 0.967,
    "motion2": 1.091,
    "adm_scale0": 0.837,
    "adm_scale1": 0.887,
    "adm_scale2": 0.960,
    "adm_scale3": 0.985,
    "adm3": 0.962,
    "aim": 0.020,
}


def set_of(features: Iterable[str]) -> FeatureSet | None:
    """Return the feature set with exactly these features in this order, or None."""
    wanted = tuple(features)
    return next((row for row in FEATURE_SETS.values() if row.features == wanted), None)


def find_feature_set(name: str) -> FeatureSet:
    """Return the feature set of this name.

    Raises:
        InputError: no such feature set.
    """
    if name not in FEATURE_SETS:
        raise InputError(f"unknown features {name!r}; choose one of: {', '.join(FEATURE_SETS)}")
    return FEATURE_SETS[name]


def log_keys(feature: str) -> tuple[str, ...]:
    """Return the keys under which libvmaf builds log a feature.

    In this order: the key of current builds, of older builds, of a VIF pass that skips scale 0.
    """
    keys = (f"integer_{feature}", feature, f"integer_{feature}_ssclz")
    # For the scale that it skips, such a pass logs zeros.
    return keys[:2] if feature == "vif_scale0" else keys
