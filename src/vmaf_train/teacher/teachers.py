"""The table of teachers: the VMAF models that students imitate."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from vmaf_train.errors import InputError
from vmaf_train.feature_names import Extractors, Feature, parse_feature
from vmaf_train.features import ADM_DETAILS, CANONICAL, FAMILIES, OWN, FeatureSet, sets_for
from vmaf_train.teacher.model_file import ModelFile, packaged_model, read_model
from vmaf_train.teacher.points import Box
from vmaf_train.teacher.svr import Correction, Svr, correction_in

MODEL_SUFFIX = ".json"


@dataclass(frozen=True, eq=False)
class Teacher:
    """A VMAF model. libvmaf runs it on videos, NumPy runs it on feature vectors.

    Attributes:
        name: name of the model in libvmaf, for the option `model=version=`; for a model file of
            the user's, the name and the hash of the file.
        features: features that the model reads, in the column order of every matrix here.
        byproducts: further features in the log of the same pass; some builds do not log all.
        file: the model file that libvmaf must be given; None for a model that it knows by name.
        score_range: lowest and highest score, in score points.
        viewing: what the scores are meant for, in words.
    """

    name: str
    features: tuple[str, ...]
    byproducts: tuple[str, ...]
    file: Path | None = None
    score_range: tuple[float, float] = (0.0, 100.0)
    viewing: str = "what the makers of its teacher say"

    @cached_property
    def model(self) -> ModelFile:
        """The model file, read at first use.

        Raises:
            InputError: it is missing or cannot be read.
        """
        return read_model(self.file) if self.file else _read(self.name)

    @property
    def svr(self) -> Svr:
        """The model's SVR.

        Raises:
            InputError: the model file is missing or cannot be read.
        """
        return self.model.svr

    @property
    def limits_gain(self) -> bool:
        """Whether an enhanced picture gets no more than its reference would."""
        adm = (parse_feature(name) for name in self.features)
        return any(
            each.option("adm_enhn_gain_limit") == 1 for each in adm if each.extractor == "adm"
        )

    @property
    def corrected(self) -> bool:
        """Whether the SVR corrects a feature that is exactly 0."""
        return self.correction_in(self.features) is not None

    @property
    def logged(self) -> tuple[str, ...]:
        """Every feature that a pass can log: `features`, then `byproducts`."""
        return (*self.features, *self.byproducts)

    @property
    def sets(self) -> Mapping[str, FeatureSet]:
        """The feature sets for its students, by name."""
        return sets_for(self.features)

    def is_variant_of(self, other: "Teacher") -> bool:
        """Tell whether two teachers differ in options of features, transform and clip only."""
        stems, others = (
            [parse_feature(name).stem for name in each.features] for each in (self, other)
        )
        return stems == others and self.svr.same_kernel(other.svr)

    def correction_in(self, features: Sequence[str]) -> Correction | None:
        """Return the correction that the SVR applies to these features; None for none."""
        # Most teachers correct nothing, and their model file need not be read to know it.
        reads_chroma = any(parse_feature(name).extractor == "speed_chroma" for name in features)
        return correction_in(features, self.svr.chroma_correction) if reads_chroma else None

    def correct(self, x_NF: np.ndarray, features: Sequence[str]) -> np.ndarray:
        """Return features as the SVR reads them."""
        correction = self.correction_in(features)
        return correction.apply(x_NF) if correction else x_NF

    def score(self, x_NF: np.ndarray, features: Sequence[str], clip: bool = True) -> np.ndarray:
        """Score feature vectors without any pixel.

        Args:
            x_NF: float of shape (frames, features), raw libvmaf values.
            features: names of the columns, in any order.
            clip: limit scores to `score_range`, as libvmaf does. Without it the function is smooth.

        Returns:
            float64 of shape (frames,), in score points.
        """
        return self.svr.score(x_NF, features, clip=clip)

    def missing_from(self, features: Iterable[str]) -> tuple[str, ...]:
        """Return the teacher's features that are not among `features`."""
        given = set(features)
        return tuple(name for name in self.features if name not in given)

    def columns_for(self, features: Iterable[str]) -> tuple[str, ...]:
        """Return the columns of a table for students of `features`: the teacher's, then others."""
        return tuple(dict.fromkeys((*self.features, *features)))

    def box_of(self, features: Iterable[str]) -> Box:
        """Return the box of some features."""
        limits = np.array([self._limits(parse_feature(name)) for name in features]).reshape(-1, 2)
        return Box(limits[:, 0], limits[:, 1])

    def _limits(self, feature: Feature) -> tuple[float, float]:
        """Return the lowest and the highest value of a feature that content can reach.

        A feature that v1 corrects has the limits of its corrected value.
        """
        if feature.extractor == "cambi":
            return 0.0, float(feature.option("cambi_max_val"))
        if feature.extractor == "motion":
            return 0.0, min(HIGHEST_MOTION, float(feature.option("motion_max_val")))
        if feature.extractor == "speed_chroma":
            return 0.0, max(float(feature.option("speed_max_val")), self._most_corrected)
        gain = "vif_enhn_gain_limit" if feature.extractor == "vif" else "adm_enhn_gain_limit"
        highest = 1.0 if feature.option(gain) == 1 else HIGHEST_ENHANCED
        # The option limits no other feature of ADM.
        lowest = float(feature.option("adm_min_val")) if feature.stem == "adm3" else 0.0
        return lowest, highest

    @property
    def _most_corrected(self) -> float:
        """The highest value that stands for a chroma of 0; 0 without a correction."""
        correction = self.correction_in(self.features)
        if correction is None:
            return 0.0
        lowest, _ = self._limits(parse_feature(self.features[correction.adm3]))
        return correction.parameter * (1 - lowest)


# An enhanced picture has higher features than its reference, unless the gain is limited to 1.
HIGHEST_ENHANCED = 1.05
# The highest motion of content, if the model states no limit.
HIGHEST_MOTION = 40.0


@dataclass(frozen=True)
class Row:
    """A model that libvmaf knows by name.

    Attributes:
        file: name of its file in the package.
        viewing: what its scores are meant for.
        options: options of extractors that libvmaf adds to those of the file.
    """

    file: str
    viewing: str
    options: Extractors = field(default_factory=dict)


NO_ENHANCEMENT_GAIN: Extractors = {
    "vif": {"vif_enhn_gain_limit": 1.0},
    "adm": {"adm_enhn_gain_limit": 1.0},
}
HD_VIEWING = "1080p, SDR, 8 bits, seen from three times the height of the picture"
TV_VIEWING = "2160p, SDR, 8 bits, seen from one and a half times the height of the picture"
_V1 = "vmaf_v1.0.16_{}"
# By the end of the model's name: the height of the display and the distance of the viewer.
_V1_VIEWINGS = {
    "3d0h": "1080p, seen from three times the height of the picture",
    "5d0h": "1080p, seen from five times the height of the picture",
    "1d5h_2160": "2160p, seen from one and a half times the height of the picture",
    "3d0h_2160": "2160p, seen from three times the height of the picture",
}
V1_REMARK = ", in SDR, with 10 bits where the video has them"
HFR_REMARK = ", at high frame rates"
ROWS = {
    "vmaf_v0.6.1": Row("vmaf_v0.6.1", HD_VIEWING),
    "vmaf_v0.6.1neg": Row("vmaf_v0.6.1neg", HD_VIEWING),
    "vmaf_4k_v0.6.1": Row("vmaf_4k_v0.6.1", TV_VIEWING),
    # libvmaf has this model, the package does not: the SVR of the 4K model, the options of NEG.
    "vmaf_4k_v0.6.1neg": Row("vmaf_4k_v0.6.1", TV_VIEWING, NO_ENHANCEMENT_GAIN),
    **{
        (name := _V1.format(prefix + end)): Row(name, f"{viewing}{remark}{V1_REMARK}")
        for prefix, remark in (("", ""), ("hfr_", HFR_REMARK))
        for end, viewing in _V1_VIEWINGS.items()
    },
}
TEACHERS = tuple(ROWS)
# Stated here, because its file is not needed for most of what is done with it.
VMAF_V061 = Teacher("vmaf_v0.6.1", CANONICAL.features, ADM_DETAILS, viewing=HD_VIEWING)
DEFAULT_TEACHER = VMAF_V061
# Teachers of model files that this process has read, by name.
_OPENED: dict[str, Teacher] = {}


@lru_cache
def _read(name: str) -> ModelFile:
    row = ROWS[name]
    return read_model(packaged_model(row.file), row.options)


@lru_cache
def _known(name: str) -> Teacher:
    return replace(_teacher_of(name, _read(name), None), viewing=ROWS[name].viewing)


def _teacher_of(name: str, model: ModelFile, file: Path | None) -> Teacher:
    named = {feature.stem: feature for feature in model.features}
    stems = next(
        (family[OWN].features for family in FAMILIES if set(family[OWN].features) == named.keys()),
        tuple(named),
    )
    features = tuple(named[stem].name for stem in stems)
    return Teacher(name, features, _byproducts(model, features), file, model.svr.clip)


def _byproducts(model: ModelFile, features: Sequence[str]) -> tuple[str, ...]:
    """Return what libvmaf's ADM logs beside the features of a model."""
    adm = next((feature for feature in model.features if feature.extractor == "adm"), None)
    if adm is None:
        return ()
    details = (Feature(stem, adm.options).name for stem in ("adm2", *ADM_DETAILS))
    return tuple(name for name in details if name not in features)


def find_teacher(name: str) -> Teacher:
    """Return the teacher of this name, or of this model file.

    Args:
        name: one of TEACHERS; or the path of a libvmaf model file, which ends in .json; or the name
            of a teacher whose file this process has read.

    Raises:
        InputError: no such teacher, or the file cannot be read.
    """
    if name == DEFAULT_TEACHER.name:
        return DEFAULT_TEACHER
    if name in _OPENED:
        return _OPENED[name]
    if name in ROWS:
        return _known(name)
    if name.endswith(MODEL_SUFFIX):
        file = Path(name).expanduser().absolute()
        model = read_model(file)
        teacher = _teacher_of(f"{file.stem}-{model.sha256[:12]}", model, file)
        return _OPENED.setdefault(teacher.name, teacher)
    raise InputError(
        f"unknown teacher {name!r}; choose one of: {', '.join(TEACHERS)}; "
        "or pass the path of a libvmaf model file"
    )
