"""The feature contract: which libvmaf features a student reads, in which order, and under which log keys.

Source: libvmaf's feature extractors as logged by its JSON output (`integer_<name>`; `<name>` in older builds).
"""

from dataclasses import dataclass

TEACHER = "vmaf_v0.6.1"
TEACHER_KEY = "vmaf"
SCORE_MIN, SCORE_MAX = 0.0, 100.0


@dataclass(frozen=True)
class FeatureSet:
    """A named, ordered choice of libvmaf features; the order is the column order of every matrix and ONNX input."""

    name: str
    features: tuple[str, ...]


FEATURE_SETS = {
    "canonical": FeatureSet("canonical", ("adm2", "vif_scale0", "vif_scale1", "vif_scale2", "vif_scale3", "motion2")),
}
CANONICAL = FEATURE_SETS["canonical"]
# What one pass of the teacher computes beside these; builds before libvmaf 3.1 know neither adm3 nor aim.
ADM_DETAILS = ("adm_scale0", "adm_scale1", "adm_scale2", "adm_scale3", "adm3", "aim")
# Highest value that content reaches; the lowest is 0. Above 1: an enhanced picture scores better than its reference.
HIGHEST = {**dict.fromkeys(CANONICAL.features, 1.05), "motion2": 40.0}


def log_keys(feature: str) -> tuple[str, ...]:
    """Return the keys under which libvmaf builds log `feature`, the present one first."""
    return (f"integer_{feature}", feature)
