"""Feature sets: which libvmaf features a student reads, in which order, under which names.

Source: the keys of libvmaf's JSON log, `integer_<name>`; older builds write `<name>`. The names in
libvmaf's model files are the `provided_features` of its extractors.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vmaf_train.errors import InputError

# The extractor that reads neighbouring frames, and the feature of it that students read.
MOTION_EXTRACTOR, MOTION_FEATURE = "motion", "motion2"
# Range of a student's scores, in score points.
SCORE_MIN, SCORE_MAX = 0.0, 100.0
# Options of libvmaf's extractors, by the name of the extractor.
Extractors = Mapping[str, Mapping[str, bool | float]]


def extraction_of(extractors: Extractors) -> str:
    """Return the value of libvmaf's option `feature` that runs these extractors."""
    return "|".join(
        r"\:".join([f"name={name}", *option_words(options)]) for name, options in extractors.items()
    )


def option_words(options: Mapping[str, bool | float]) -> list[str]:
    """Return the options of an extractor as libvmaf reads them, such as `vif_skip_scale0=true`."""
    return [f"{key}={str(value).lower()}" for key, value in options.items()]


@dataclass(frozen=True)
class FeatureSet:
    """A name for some libvmaf features, in the column order of matrices and of the ONNX input.

    Attributes:
        name: value of the option `features`.
        features: feature names, in order.
        extractors: the libvmaf extractors that these need, and the options of each.
        cost: CPU time of that pass; full VMAF is 1. Measured by benchmarks/score.py at 1920x1080.
    """

    name: str
    features: tuple[str, ...]
    extractors: Extractors
    cost: float

    @property
    def extraction(self) -> str:
        """The value of libvmaf's option `feature` that runs these extractors."""
        return extraction_of(self.extractors)

    @property
    def still(self) -> str:
        """The part of `extraction` that reads single frames, for a pass that skips frames."""
        return extraction_of({k: v for k, v in self.extractors.items() if k != MOTION_EXTRACTOR})

    def options_of(self, feature: str) -> Mapping[str, bool | float]:
        """Return the options of the extractor that computes a feature of this set."""
        return self.extractors[extractor_of(feature)]


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
            extractors={"vif": {}, "adm": {}, "motion": {}},
            cost=1.0,
        ),
        FeatureSet(
            name="lite",
            features=("adm2", *ADM_SCALES, "vif_scale1", "vif_scale2", "vif_scale3", "motion2"),
            extractors={
                "vif": {"vif_skip_scale0": True},
                "adm": {"adm_skip_aim": True},
                "motion": {},
            },
            cost=0.58,
        ),
        FeatureSet(
            name="lite_vif",
            features=("adm2", "vif_scale1", "vif_scale2", "vif_scale3", "motion2"),
            extractors={"vif": {"vif_skip_scale0": True}, "adm": {}, "motion": {}},
            cost=0.60,
        ),
        FeatureSet(
            name="fast",
            features=("adm2", *ADM_DETAILS, "motion2"),
            extractors={"adm": {}, "motion": {}},
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


def model_name(feature: str) -> str:
    """Return the name of a feature in libvmaf's model files.

    libvmaf has no long name for the scales of ADM.
    """
    if feature in ADM_SCALES:
        return f"integer_{feature}"
    return f"VMAF_integer_feature_{feature}_score"


def extractor_of(feature: str) -> str:
    """Return the libvmaf extractor that computes a feature: `vif_scale1` is of `vif`."""
    stem = re.split(r"[_0-9]", feature)[0]
    return "adm" if stem == "aim" else stem
