"""The part of a report that judges scores of clips against opinion scores, and its MLflow names."""

from pydantic import Field

from vmaf_train.contracts import Contract
from vmaf_train.judging.intervals import Interval

STUDENT, TEACHER, PSNR = "student", "teacher", "psnr"


class ClipFigures(Contract):
    """Agreement of clip scores with opinion scores.

    Attributes:
        srocc, krocc, plcc: Spearman's, Kendall's (tau-b) and Pearson's correlation; None if one of
            the two is constant.
        rmse: in score points; None for PSNR, which has another scale.
        plcc_fitted, rmse_fitted: after a monotone logistic function is fitted (ITU-T P.1401); None
            if the fit does not converge.
        intervals: of srocc, plcc and rmse, by resampling sources.
        difference: intervals of the student's figure minus this one's; empty for the student.
    """

    srocc: float | None
    krocc: float | None
    plcc: float | None
    rmse: float | None
    plcc_fitted: float | None
    rmse_fitted: float | None
    intervals: dict[str, Interval] = Field(default_factory=dict)
    difference: dict[str, Interval] = Field(default_factory=dict)


class RatedClip(Contract):
    """One clip: its source, its opinion score, and what predicts it."""

    source: str
    score: float
    student: float
    teacher: float
    psnr: float | None


class OpinionReport(Contract):
    """How well clip scores agree with opinion scores.

    Attributes:
        scores: name of the list of opinion scores.
        unseen: whether the student never saw the sources of these clips.
        clips, sources: how many have an opinion score.
        lowest, highest: range of the opinion scores.
        confidence: of all intervals.
        figures: of the student, the teacher's own pooled score, and PSNR where passes computed it.
        ceiling: SROCC and PLCC that subjects reach among themselves, where it is known.
        doubt: what makes the student's figures doubtful; None if nothing does.
        per_clip: by the name of the clip.
    """

    scores: str
    unseen: bool
    clips: int
    sources: int
    lowest: float
    highest: float
    confidence: float
    figures: dict[str, ClipFigures]
    ceiling: dict[str, float] | None = None
    doubt: str | None = None
    per_clip: dict[str, RatedClip] = Field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics that a run logs, by MLflow name: `mos/` and the figure, or a predictor."""
        named: dict[str, float | None] = {}
        for name, row in self.figures.items():
            prefix = "mos/" if name == STUDENT else f"mos/{name}_"
            for figure in ("srocc", "krocc", "plcc", "rmse", "plcc_fitted", "rmse_fitted"):
                named[f"{prefix}{figure}"] = getattr(row, figure)
        return {name: value for name, value in named.items() if value is not None}
