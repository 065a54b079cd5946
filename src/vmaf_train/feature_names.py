"""The names of libvmaf's features: a stem, then the options of the extractor that computes it.

libvmaf names a feature in its log after the options that differ from their defaults, sorted by
their full names, each by its alias and value: `adm3_csf_2_nvd_5`. An option that is true has no
value. Source: the VmafOption tables of libvmaf's extractors, and feature_name.c.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from vmaf_train.errors import InputError

Value = bool | int | float | str
# Options of libvmaf's extractors, by the name of the extractor.
Extractors = Mapping[str, Mapping[str, Value]]

# Of each extractor that students can read: its features without options.
STEMS = {
    "vif": ("vif_scale0", "vif_scale1", "vif_scale2", "vif_scale3"),
    "adm": (
        "adm2",
        "adm3",
        "adm_scale0",
        "adm_scale1",
        "adm_scale2",
        "adm_scale3",
        "aim",
    ),
    "motion": ("motion2", "motion3"),
    "cambi": ("cambi",),
    "speed_chroma": ("speed_chroma_uv", "speed_chroma_u", "speed_chroma_v"),
}
EXTRACTOR_OF = {stem: extractor for extractor, stems in STEMS.items() for stem in stems}
KNOWN = tuple(EXTRACTOR_OF)


@dataclass(frozen=True)
class Option:
    """An option of an extractor: its alias in names, and its default."""

    alias: str
    default: Value


# The options that change the value of a feature, and that models state.
OPTIONS: Mapping[str, Mapping[str, Option]] = {
    "vif": {"vif_enhn_gain_limit": Option("egl", 100.0)},
    "adm": {
        "adm_csf_mode": Option("csf", 0),
        "adm_dlm_weight": Option("dlmw", 0.5),
        "adm_enhn_gain_limit": Option("egl", 100.0),
        "adm_min_val": Option("min", 0.0),
        "adm_noise_weight": Option("nw", 0.03125),
        "adm_norm_view_dist": Option("nvd", 3.0),
        "adm_ref_display_height": Option("rdh", 1080),
    },
    "motion": {
        "motion_five_frame_window": Option("mffw", False),
        "motion_max_val": Option("mmxv", 10000.0),
        "motion_moving_average": Option("mma", False),
    },
    "cambi": {
        "cambi_high_res_speedup": Option("hrs", 0),
        "cambi_max_val": Option("cmxv", 1000.0),
        "cambi_vis_lum_threshold": Option("vlt", 0.0),
    },
    "speed_chroma": {
        "speed_kernelscale": Option("ks", 1.0),
        "speed_max_val": Option("mxv", 1000.0),
        "speed_nn_floor": Option("nnf", 0.0),
        "speed_prescale": Option("ps", 1.0),
        "speed_prescale_method": Option("psm", "nearest"),
        "speed_sigma_nn": Option("snn", 0.29),
        "speed_weight_var_mode": Option("wvm", 0),
    },
}


@dataclass(frozen=True)
class Feature:
    """A feature of libvmaf.

    Attributes:
        stem: its name without options.
        options: the options of its extractor that differ from their defaults.
    """

    stem: str
    options: Mapping[str, Value] = field(default_factory=dict)

    @property
    def extractor(self) -> str:
        """The libvmaf extractor that computes it: `vif_scale1` is of `vif`."""
        return EXTRACTOR_OF[self.stem]

    @property
    def name(self) -> str:
        """Its key in libvmaf's log, without the prefix `integer_`."""
        table = OPTIONS[self.extractor]
        words = [self.stem]
        for option in sorted(self.options):
            value = self.options[option]
            words.append(table[option].alias)
            if value is not True:
                words.append(value if isinstance(value, str) else f"{value:g}")
        return "_".join(words)

    def option(self, name: str) -> Value:
        """Return the value of an option."""
        return self.options.get(name, OPTIONS[self.extractor][name].default)

    def with_options(self, options: Extractors) -> "Feature":
        """Return this feature as its extractor computes it with these options."""
        return feature_of(self.stem, options.get(self.extractor, {}))


def feature_of(stem: str, options: Mapping[str, Value]) -> Feature:
    """Return a feature that is computed with some options; defaults are left out.

    Raises:
        InputError: the feature or an option is not known.
    """
    if stem not in EXTRACTOR_OF:
        raise InputError(f"unknown feature {stem!r}; a student can read {', '.join(KNOWN)}")
    table = OPTIONS[EXTRACTOR_OF[stem]]
    if unknown := sorted(set(options) - set(table)):
        raise InputError(
            f"{stem} has options that are not known: {', '.join(unknown)}; "
            f"known are {', '.join(table)}"
        )
    changed = {
        name: value for name, value in sorted(options.items()) if value != table[name].default
    }
    return Feature(stem, changed)


@lru_cache(maxsize=1024)
def parse_feature(name: str) -> Feature:
    """Return the feature of this name; the opposite of `Feature.name`.

    Raises:
        InputError: no feature that a student can read has this name.
    """
    for stem in sorted(KNOWN, key=len, reverse=True):
        if name == stem or name.startswith(f"{stem}_"):
            found = Feature(stem, dict(_options_in(name[len(stem) :], EXTRACTOR_OF[stem])))
            if found.name == name:
                return found
    raise InputError(f"unknown feature {name!r}; a student can read {', '.join(KNOWN)}")


def _options_in(text: str, extractor: str) -> Iterator[tuple[str, Value]]:
    """Yield the options in the part of a name after its stem, such as `_csf_2_mma`."""
    for name, option in sorted(OPTIONS[extractor].items()):
        if isinstance(option.default, bool):
            if re.search(rf"_{option.alias}(_|$)", text):
                yield name, True
        elif found := re.search(rf"_{option.alias}_([^_]+)", text):
            yield name, _value(found[1], option.default)


def _value(text: str, default: Value) -> Value:
    """Read a value of the type of the default; text that is no such value is kept."""
    try:
        return type(default)(text)
    except ValueError:
        return text
