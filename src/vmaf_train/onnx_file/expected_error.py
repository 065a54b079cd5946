"""The error that a student's file states for content that it never saw, and whether it applies.

`train` measures both out of fold and writes them to the metadata of the ONNX file, under the key
`expected_error`. docs/decisions/0009-intervals.md says how they were chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field, ValidationError, model_validator

from vmaf_train.contracts import Contract
from vmaf_train.errors import InputError
from vmaf_train.onnx_file.familiar import Familiar
from vmaf_train.onnx_file.inference import OnnxStudent

KEY = "expected_error"

Error = Annotated[float, Field(ge=0)]
Row = tuple[float, ...]


class HalfWidth(Contract):
    """Half-width of the interval for the mean of at least `frames` frames, in score points."""

    frames: Annotated[int, Field(ge=1)]
    half_width: Error


class StatedInterval(Contract):
    """An interval for the pooled error on a new source.

    Attributes:
        confidence: share of new sources' clips that it covers.
        sources: number of sources whose out-of-fold errors it was made of.
        half_widths: by ascending number of frames, from 1; they do not increase.
    """

    confidence: Annotated[float, Field(gt=0, lt=1)]
    sources: Annotated[int, Field(ge=1)]
    half_widths: Annotated[tuple[HalfWidth, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _in_order(self) -> "StatedInterval":
        frames = [row.frames for row in self.half_widths]
        widths = [row.half_width for row in self.half_widths]
        if frames[0] != 1 or frames != sorted(set(frames)) or widths != sorted(widths)[::-1]:
            raise ValueError("half-widths must start at 1 frame, by frames, and must not increase")
        return self


class FamiliarFacts(Contract):
    """`Familiar` as JSON."""

    mean: Row
    whitening: tuple[Row, ...]
    centres: Annotated[tuple[Row, ...], Field(min_length=1)]
    limit: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _of_one_shape(self) -> "FamiliarFacts":
        rows = (*self.whitening, *self.centres)
        wanted = len(self.mean)
        if len(self.whitening) != wanted or {len(row) for row in rows} != {wanted}:
            raise ValueError("whitening and centres must have as many columns as the mean")
        return self


class ExpectedErrorFacts(Contract):
    """The value of the metadata key `expected_error`."""

    interval: StatedInterval
    familiar: FamiliarFacts


@dataclass(frozen=True, eq=False)
class ExpectedError:
    """The error to expect of a student's scores.

    Attributes:
        interval: half-widths by number of frames, and the confidence that they hold.
        familiar: tells which frames lie outside what the student learnt.
    """

    interval: StatedInterval
    familiar: Familiar

    @property
    def confidence(self) -> float:
        """Share of new sources' clips whose pooled error is within the half-width."""
        return self.interval.confidence

    @property
    def sources(self) -> int:
        """Number of sources that the half-widths were made of."""
        return self.interval.sources

    def distance(self, x_NF: np.ndarray) -> np.ndarray:
        """Return how far each frame lies from the training frames; see `Familiar.distance`."""
        return self.familiar.distance(x_NF)

    def outside(self, distance_N: np.ndarray) -> np.ndarray:
        """Tell by their distances which frames lie outside what the student learnt: bool (n,)."""
        outside_N: np.ndarray = distance_N > self.familiar.limit
        return outside_N

    def half_width(self, frames: int, distance_N: np.ndarray | Sequence[float] = ()) -> float:
        """Return the half-width of the interval for a mean over frames.

        It is that of the largest stated number of frames that is at most `frames`. Frames outside
        widen it: it is multiplied by the mean over the frames of max(1, distance / limit) squared.

        Args:
            frames: number of frames that the mean is taken over, at least 1.
            distance_N: distances of these frames, or of a sample of them, float64 of shape (n,);
                empty if every frame is inside.

        Returns:
            Score points.
        """
        stated = [row.half_width for row in self.interval.half_widths if row.frames <= frames][-1]
        return stated * widening(np.asarray(distance_N, dtype=np.float64) / self.familiar.limit)


def widening(relative_N: np.ndarray) -> float:
    """Return the factor of an interval from distances relative to the limit; 1 for none above 1."""
    if not len(relative_N):
        return 1.0
    return float(np.mean(np.maximum(1, relative_N) ** 2))


def expected_error_of(student: OnnxStudent, name: str) -> ExpectedError | None:
    """Return the error that a student's file states; None if it states none.

    Args:
        student: the ONNX file, loaded.
        name: name of the file, for the error.

    Raises:
        InputError: the metadata is malformed.
    """
    if KEY not in student.facts:
        return None
    try:
        facts = ExpectedErrorFacts.model_validate(student.facts[KEY])
        if len(facts.familiar.mean) != len(student.features):
            raise ValueError(f"the mean must have {len(student.features)} values")
    except ValueError as error:
        fault = error.errors()[0] if isinstance(error, ValidationError) else {"msg": str(error)}
        place = ".".join(map(str, (KEY, *fault.get("loc", ()))))
        raise InputError(
            f"{name} has metadata of vmaf-train that breaks its contract: {place}: "
            f"{fault['msg']}; train it again, or restore the file"
        ) from error
    familiar = Familiar(
        mean_F=np.array(facts.familiar.mean),
        whitening_FF=np.array(facts.familiar.whitening),
        centres_KF=np.array(facts.familiar.centres),
        limit=facts.familiar.limit,
    )
    return ExpectedError(facts.interval, familiar)
