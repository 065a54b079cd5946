"""Feature sets: which libvmaf features a student reads, in which order, under which names.

Source: the keys of libvmaf's JSON log. A name is such a key without its prefix `integer_`: `adm2`,
or with options `adm2_egl_1`. Older builds write keys without the prefix. The names in libvmaf's
model files are the `provided_features` of its extractors.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from vmaf_train.errors import InputError
from vmaf_train.feature_names import Extractors, Feature, Value, parse_feature

# The extractor that reads neighbouring frames, and the feature of it that students read.
MOTION_EXTRACTOR, MOTION_FEATURE = "motion", "motion2"
# Range of a student's scores, in score points, unless its teacher has another.
SCORE_MIN, SCORE_MAX = 0.0, 100.0
# No teacher's scores are higher.
HIGHEST_SCORE = 110.0
# The name of the set of the teacher's own features.
OWN = "canonical"
# The name of a set that no family holds.
OTHER = "other"


def extraction_of(extractors: Extractors) -> str:
    """Return the value of libvmaf's option `feature` that runs these extractors."""
    return "|".join(
        r"\:".join([f"name={name}", *option_words(options)]) for name, options in extractors.items()
    )


def option_words(options: Mapping[str, Value]) -> list[str]:
    """Return the options of an extractor as libvmaf reads them, such as `vif_skip_scale0=true`."""
    return [
        f"{key}={str(value).lower() if isinstance(value, bool) else value}"
        for key, value in options.items()
    ]


@dataclass(frozen=True)
class FeatureSet:
    """A name for some libvmaf features, in the column order of matrices and of the ONNX input.

    Attributes:
        name: value of the option `features`.
        features: feature names, in order.
        extractors: the libvmaf extractors that these need, and the options of each.
        cost: CPU time of that pass; that of vmaf_v0.6.1 is 1. Measured by benchmarks/score.py at
            1920x1080; None for a set that nobody measured.
    """

    name: str
    features: tuple[str, ...]
    extractors: Extractors
    cost: float | None

    @property
    def extraction(self) -> str:
        """The value of libvmaf's option `feature` that runs these extractors."""
        return extraction_of(self.extractors)

    @property
    def still(self) -> str:
        """The part of `extraction` that reads single frames, for a pass that skips frames."""
        return extraction_of({k: v for k, v in self.extractors.items() if k != MOTION_EXTRACTOR})

    def options_of(self, feature: str) -> Mapping[str, Value]:
        """Return the options of the extractor that computes a feature of this set."""
        return self.extractors[parse_feature(feature).extractor]

    def with_options(self, options: Extractors) -> "FeatureSet":
        """Return this set of plain features, computed with these options of each extractor."""
        if not any(options.values()):
            return self
        named = [parse_feature(name).with_options(options).name for name in self.features]
        extractors = {
            name: {**options.get(name, {}), **own} for name, own in self.extractors.items()
        }
        return replace(self, features=tuple(named), extractors=extractors)


# libvmaf computes these together with adm2, at no extra cost. Builds before libvmaf 3.1 log neither
# adm3 nor aim.
ADM_SCALES = ("adm_scale0", "adm_scale1", "adm_scale2", "adm_scale3")
ADM_DETAILS = (*ADM_SCALES, "adm3", "aim")
# The family of vmaf_v0.6.1, whose models read the same features: also its 4K and NEG models.
FEATURE_SETS = {
    row.name: row
    for row in (
        FeatureSet(
            name=OWN,
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
# The family of VMAF v1. Its features without their options; each model has its own options.
V1_SETS = {
    row.name: row
    for row in (
        FeatureSet(
            name=OWN,
            features=("cambi", "speed_chroma_uv", "adm3", "motion3"),
            extractors={"cambi": {}, "speed_chroma": {}, "adm": {}, "motion": {}},
            cost=0.59,
        ),
        FeatureSet(
            name="no_cambi",
            features=("speed_chroma_uv", "adm3", "motion3"),
            extractors={"speed_chroma": {}, "adm": {}, "motion": {}},
            cost=0.43,
        ),
        FeatureSet(
            name="no_speed",
            features=("cambi", "adm3", "motion3"),
            extractors={"cambi": {}, "adm": {}, "motion": {}},
            cost=0.46,
        ),
        FeatureSet(
            name="adm_motion",
            features=("adm3", "motion3"),
            extractors={"adm": {}, "motion": {}},
            cost=0.30,
        ),
    )
}
FAMILIES = (FEATURE_SETS, V1_SETS)
# The features of vmaf_v0.6.1: the default of every option, and the input of an ONNX file that names
# no features.
CANONICAL = FEATURE_SETS[OWN]
# Least sides for speed_chroma, before its prescale, and for CAMBI; found by trying libvmaf 3.2.
SPEED_SIDE, CAMBI_SIDE = 160, 216
SPEED = ("speed_chroma_uv", "speed_chroma_u", "speed_chroma_v")
SET_NAMES = tuple(dict.fromkeys(name for family in FAMILIES for name in family))

# One frame of the corpus `real` (clip yoga-07, frame 2; teacher score 82.1), for the examples
# on model cards. The last three are of a frame with VMAF v1's options: a 1920x1080 clip of the same
# corpus (concert_lights_hd-04, frame 2).
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
    "cambi": 7.557,
    "speed_chroma_uv": 5.474,
    "motion3": 3.269,
}


@lru_cache
def sets_for(own: tuple[str, ...]) -> Mapping[str, FeatureSet]:
    """Return the feature sets for students of a teacher, by name.

    Args:
        own: the features of the teacher, in the order of its table row.
    """
    parsed = [parse_feature(name) for name in own]
    stems = tuple(feature.stem for feature in parsed)
    options = options_by_extractor(parsed)
    for family in FAMILIES:
        if family[OWN].features == stems:
            return {name: row.with_options(options) for name, row in family.items()}
    return {OWN: FeatureSet(OWN, own, options, None)}


def options_by_extractor(features: Iterable[Feature]) -> Extractors:
    """Return the extractors that compute some features, and the options of each.

    Raises:
        InputError: two features need one extractor with different options.
    """
    found: dict[str, Mapping[str, Value]] = {}
    for feature in features:
        if found.setdefault(feature.extractor, feature.options) != feature.options:
            raise InputError(
                f"{feature.name} and another feature need the extractor {feature.extractor} with "
                "different options; such models cannot be imitated yet"
            )
    return found


@lru_cache
def set_of(features: tuple[str, ...]) -> FeatureSet:
    """Return the feature set with exactly these features in this order.

    A set that no family holds is called "other".

    Raises:
        InputError: a name is no feature of libvmaf that a student can read.
    """
    parsed = [parse_feature(name) for name in features]
    stems = tuple(feature.stem for feature in parsed)
    options = options_by_extractor(parsed)
    for family in FAMILIES:
        for row in family.values():
            if row.features == stems:
                return row.with_options(options)
    return FeatureSet(OTHER, features, options, None)


def known_set_of(features: tuple[str, ...], name: str) -> FeatureSet:
    """Return the feature set that a student reads.

    Raises:
        InputError: no family holds it; the error names the student.
    """
    found = set_of(features)
    if found.name == OTHER:
        raise InputError(
            f"{name} reads {', '.join(features)}, which is no known feature set; train another"
        )
    return found


def find_feature_set(name: str, own: tuple[str, ...] = CANONICAL.features) -> FeatureSet:
    """Return the feature set of this name.

    Args:
        name: name of the set.
        own: the features of the teacher; each family of teachers has its sets.

    Raises:
        InputError: no such feature set.
    """
    sets = sets_for(own)
    if name not in sets:
        raise InputError(f"unknown features {name!r}; choose one of: {', '.join(sets)}")
    return sets[name]


def least_sides(features: Iterable[str]) -> tuple[int, int]:
    """Return the least short side and long side of pictures, in pixels.

    libvmaf crashes in speed_chroma where the short side is less, and refuses CAMBI where the long
    one is.
    """
    parsed = [parse_feature(name) for name in features]
    prescales = [each.option("speed_prescale") for each in parsed if each.stem in SPEED]
    short = max((math.ceil(SPEED_SIDE / float(scale)) for scale in prescales), default=1)
    long = CAMBI_SIDE if any(each.stem == "cambi" for each in parsed) else 1
    return short, max(short, long)


def check_size(features: Iterable[str], width: int, height: int, name: str) -> None:
    """Refuse pictures of which libvmaf cannot compute some features.

    Raises:
        InputError: a side is too short; names the video.
    """
    short, long = least_sides(features)
    if min(width, height) < short or max(width, height) < long:
        raise InputError(
            f"{name} is {width}x{height}, and libvmaf needs {short} by {long} pixels for these "
            "features; take another teacher, another model or larger pictures"
        )


def log_keys(feature: str) -> tuple[str, ...]:
    """Return the keys under which libvmaf builds log a feature.

    In this order: the key of current builds, of older builds, of a VIF pass that skips scale 0.
    """
    keys = (f"integer_{feature}", feature, f"integer_{feature}_ssclz")
    # For the scale that it skips, such a pass logs zeros.
    return keys[:2] if feature.startswith("vif_scale0") else keys


def model_name(feature: str) -> str:
    """Return the name of a feature in libvmaf's model files, which state its options elsewhere."""
    stem = parse_feature(feature).stem
    # libvmaf has no long name for the scales of ADM.
    if stem in ADM_SCALES:
        return f"integer_{stem}"
    return MODEL_NAMES.get(stem, f"VMAF_integer_feature_{stem}_score")


# Names in model files that do not begin like the others.
MODEL_NAMES = {
    "cambi": "Cambi_feature_cambi_score",
    "speed_chroma_uv": "Speed_chroma_feature_speed_chroma_uv_score",
}
