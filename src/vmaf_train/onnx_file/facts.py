"""The metadata of a student's ONNX file: what it says of itself, with checked types."""

import json
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from vmaf_train.errors import InputError
from vmaf_train.feature_names import parse_feature

METADATA_PREFIX = "vmaf_train."
# The most characters of one value.
LONGEST = 1_000_000

Text = Annotated[
    str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")
]
Names = Annotated[list[Text], Field(max_length=100_000)]
Count = Annotated[int, Field(ge=0, le=10**12)]
# A name, not a path: the file of a teacher is never opened because a model says so.
TeacherName = Annotated[str, StringConstraints(max_length=200, pattern=r"^[\w. +-]*$")]


class Facts(BaseModel):
    """The values that this project reads; others are kept as they are."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)

    arch: Text | None = None
    features: Names | None = None
    parameters: Count | None = None
    window: Annotated[int, Field(ge=1, le=99)] = 1
    teacher: TeacherName | None = None
    targets: Text | None = None
    hold_out: Text | None = None
    libvmaf_version: Text | None = None
    corpus: Text | None = None
    train_digest: Text | None = None
    opinion_scores: Text | None = None
    train_sources: Names | None = None
    train_frames: Count | None = None
    teacher_points: Count | None = None
    scored_clips: Count | None = None
    target_mean: float | None = None
    mos_weight: float | None = None
    smoke: bool | None = None


def facts_in(metadata: Mapping[str, str], name: str) -> Mapping[str, object]:
    """Return the metadata that vmaf-train wrote, by key without its prefix; empty if there is none.

    Args:
        metadata: of the ONNX file.
        name: name of the file, for errors.

    Raises:
        InputError: a value is not JSON, or not of its type.
    """
    own = {
        key.removeprefix(METADATA_PREFIX): value
        for key, value in metadata.items()
        if key.startswith(METADATA_PREFIX)
    }
    if long := [key for key, value in own.items() if len(value) > LONGEST]:
        raise InputError(f"{name} has metadata of vmaf-train that is too long: {', '.join(long)}")
    try:
        facts = {key: json.loads(value) for key, value in own.items()}
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{name} has metadata of vmaf-train that is no JSON: {error}; export it again"
        ) from error
    try:
        Facts.model_validate(facts)
        for feature in facts.get("features") or ():
            parse_feature(feature)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        raise InputError(
            f"{name} has metadata of vmaf-train that breaks its contract: {place}: "
            f"{fault['msg']}; train it again, or restore the file"
        ) from error
    except InputError as error:
        raise InputError(f"{name} reads what libvmaf does not compute: {error}") from error
    return facts
