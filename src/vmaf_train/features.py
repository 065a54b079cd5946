"""The feature contract: which libvmaf features a student reads, in which order, and under which log keys.

Source: libvmaf's feature extractors as logged by its JSON output (`integer_<name>`; `<name>` in older builds).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from vmaf_train.errors import InputError

TEACHER = "vmaf_v0.6.1"
TEACHER_KEY = "vmaf"
SCORE_MIN, SCORE_MAX = 0.0, 100.0


@dataclass(frozen=True)
class FeatureSet:
    """A named, ordered choice of libvmaf features; the order is the column order of every matrix and ONNX input.

    Attributes:
        name: what `features` selects.
        features: in order.
        extraction: libvmaf's `feature` option that computes these and no others.
        cost: CPU time of that pass, full VMAF's being 1; by benchmarks/score.py at 1920x1080.
    """

    name: str
    features: tuple[str, ...]
    extraction: str
    cost: float


# What the teacher's pass computes on the way to adm2; builds before libvmaf 3.1 know neither adm3 nor aim.
ADM_DETAILS = ("adm_scale0", "adm_scale1", "adm_scale2", "adm_scale3", "adm3", "aim")
FEATURE_SETS = {
    row.name: row
    for row in (
        FeatureSet(
            "canonical",
            ("adm2", "vif_scale0", "vif_scale1", "vif_scale2", "vif_scale3", "motion2"),
            "name=vif|name=adm|name=motion",
            1.0,
        ),
        FeatureSet(
            "lite",
            ("adm2", "vif_scale1", "vif_scale2", "vif_scale3", "motion2"),
            r"name=vif\:vif_skip_scale0=true|name=adm|name=motion",
            0.59,
        ),
        FeatureSet("fast", ("adm2", *ADM_DETAILS, "motion2"), "name=adm|name=motion", 0.36),
    )
}
CANONICAL = FEATURE_SETS["canonical"]
KNOWN = (*CANONICAL.features, *ADM_DETAILS)
# Highest value that content reaches; the lowest is 0. Above 1: an enhanced picture scores better than its reference.
HIGHEST = {**dict.fromkeys(KNOWN, 1.05), "motion2": 40.0}

# A frame of the demo corpus (Mosaic_50_126_92, 41) that the teacher gives 81.9; for the examples on model cards.
EXAMPLE = {
    "adm2": 0.947,
    "vif_scale0": 0.255,
    "vif_scale1": 0.858,
    "vif_scale2": 0.922,
    "vif_scale3": 0.955,
    "motion2": 1.411,
    "adm_scale0": 0.869,
    "adm_scale1": 0.879,
    "adm_scale2": 0.954,
    "adm_scale3": 0.975,
    "adm3": 0.965,
    "aim": 0.017,
}


def columns_for(features: Iterable[str]) -> tuple[str, ...]:
    """Return the columns to train and judge a student of these features with: the teacher's, then the others."""
    return tuple(dict.fromkeys((*CANONICAL.features, *features)))


def set_of(features: Iterable[str]) -> FeatureSet | None:
    """Return the set that is exactly these features in this order, if there is one."""
    wanted = tuple(features)
    return next((row for row in FEATURE_SETS.values() if row.features == wanted), None)


def find_feature_set(name: str) -> FeatureSet:
    """Return the row of this name.

    Raises:
        InputError: no such feature set.
    """
    if name not in FEATURE_SETS:
        raise InputError(f"unknown features {name!r}; choose one of: {', '.join(FEATURE_SETS)}")
    return FEATURE_SETS[name]


def log_keys(feature: str) -> tuple[str, ...]:
    """Return the keys under which libvmaf builds log `feature`, the present one first; the last skips VIF's scale 0."""
    return (f"integer_{feature}", feature, f"integer_{feature}_ssclz")
