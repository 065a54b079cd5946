"""Judge scores of clips against opinion scores, beside the teacher's pooled score and PSNR.

Figures and the fitted logistic function are those of ITU-T P.1401 (2020). Sources are resampled as
a whole, since the clips of one source are not independent.
"""

import warnings
from collections.abc import Mapping

import numpy as np
from scipy import optimize, stats

from vmaf_train.frames.opinions import NETFLIX_PUBLIC
from vmaf_train.frames.table import FrameTable, rated_clips
from vmaf_train.judging.agreement import LEVEL, compare
from vmaf_train.judging.intervals import Interval
from vmaf_train.judging.opinion_report import (
    PSNR,
    STUDENT,
    TEACHER,
    ClipFigures,
    OpinionReport,
    RatedClip,
)
from vmaf_train.metrics import rmse

RESAMPLES = 1000
# Correlations that subjects reach among themselves on 70 clips: half of them against the others.
CEILINGS = {NETFLIX_PUBLIC: {"srocc": 0.974, "plcc": 0.985}}
# Figures that have intervals.
WITH_INTERVAL = ("srocc", "plcc", "rmse")
# Fewest clips with a score for any figure.
FEWEST = 3


def judge_opinions(
    table: FrameTable, student_C: np.ndarray, *, scores: str, unseen: bool
) -> OpinionReport | None:
    """Judge a student's pooled scores against the opinion scores of a table.

    Args:
        table: the frames, with the opinion scores of their clips.
        student_C: the student's pooled scores, float64 of shape (clips,).
        scores: name of the list of opinion scores.
        unseen: whether the student never saw the sources of these clips.

    Returns:
        None if fewer than three clips have a score.
    """
    rated_C = rated_clips(table)
    if table.mos_C is None or rated_C.sum() < FEWEST:
        return None
    mos_C = table.mos_C[rated_C]
    teacher_C = np.array([table.y_N[rows].mean() for rows in table.clip_rows])
    predicted = {STUDENT: student_C[rated_C], TEACHER: teacher_C[rated_C]}
    psnr_C = np.full(len(rated_C), np.nan) if table.psnr_C is None else table.psnr_C
    if not np.isnan(psnr_C[rated_C]).any():
        predicted[PSNR] = psnr_C[rated_C]

    sources = np.array(table.clip_sources)[rated_C]
    figures = _with_intervals(predicted, mos_C, sources)
    ceiling = CEILINGS.get(scores)
    names = np.array(table.clips)[rated_C].tolist()
    return OpinionReport(
        scores=scores,
        unseen=unseen,
        clips=len(mos_C),
        sources=len(set(sources.tolist())),
        lowest=float(mos_C.min()),
        highest=float(mos_C.max()),
        confidence=LEVEL,
        figures=figures,
        ceiling=ceiling,
        doubt=_doubt(figures[STUDENT], ceiling) if ceiling else None,
        per_clip={
            name: RatedClip(
                source=str(sources[index]),
                score=float(mos_C[index]),
                student=float(predicted[STUDENT][index]),
                teacher=float(predicted[TEACHER][index]),
                psnr=float(predicted[PSNR][index]) if PSNR in predicted else None,
            )
            for index, name in enumerate(names)
        },
    )


def clip_figures(score_C: np.ndarray, mos_C: np.ndarray, *, same_scale: bool) -> ClipFigures:
    """Return the figures of clip scores against opinion scores; both float64 of shape (clips,).

    Args:
        score_C: scores of the clips.
        mos_C: their opinion scores.
        same_scale: whether both have one scale, so that their difference means something.
    """
    agreement = compare(score_C, mos_C)
    fitted_C = fit_logistic(score_C, mos_C)
    return ClipFigures(
        srocc=agreement.srocc,
        krocc=agreement.krocc,
        plcc=agreement.plcc,
        rmse=rmse(score_C, mos_C) if same_scale else None,
        plcc_fitted=None if fitted_C is None else _plcc(fitted_C, mos_C),
        rmse_fitted=None if fitted_C is None else rmse(fitted_C, mos_C),
    )


def fit_logistic(score_C: np.ndarray, mos_C: np.ndarray) -> np.ndarray | None:
    """Return scores after a monotone function is fitted to opinion scores by least squares.

    The function is f(s) = b2 + (b1 - b2) / (1 + exp(-(s - b3) / |b4|)), with four parameters.

    Args:
        score_C, mos_C: scores of the clips and their opinion scores, float64 of shape (clips,).

    Returns:
        float64 of shape (clips,); None if the fit does not converge, or scores are constant.
    """
    spread = float(score_C.std())
    if spread == 0 or len(score_C) < 5:
        return None

    def logistic(s: np.ndarray, b1: float, b2: float, b3: float, b4: float) -> np.ndarray:
        exponent = np.clip(-(s - b3) / max(abs(b4), 1e-9), -500, 500)
        value: np.ndarray = b2 + (b1 - b2) / (1 + np.exp(exponent))
        return value

    start = (mos_C.max(), mos_C.min(), float(score_C.mean()), spread)
    try:
        with warnings.catch_warnings():
            # The covariance of the parameters is not used.
            warnings.simplefilter("ignore", optimize.OptimizeWarning)
            found, _ = optimize.curve_fit(logistic, score_C, mos_C, p0=start, maxfev=10_000)
    except RuntimeError:
        return None
    return logistic(score_C, *found)


def _with_intervals(
    predicted: Mapping[str, np.ndarray], mos_C: np.ndarray, sources: np.ndarray
) -> dict[str, ClipFigures]:
    """Return the figures of each predictor, with intervals and the student's differences."""
    resampled = {name: [] for name in predicted}  # type: dict[str, list[tuple[float, ...]]]
    clips_of = [np.flatnonzero(sources == source) for source in sorted(set(sources.tolist()))]
    draw = np.random.default_rng(0)
    for _ in range(RESAMPLES if len(clips_of) > 1 else 0):
        picked = np.concatenate(
            [clips_of[i] for i in draw.integers(len(clips_of), size=len(clips_of))]
        )
        for name, score_C in predicted.items():
            resampled[name].append(_quick(score_C[picked], mos_C[picked]))

    figures = {}
    for name, score_C in predicted.items():
        row = clip_figures(score_C, mos_C, same_scale=name != PSNR)
        own_RF, student_RF = (np.array(resampled[each]) for each in (name, STUDENT))
        difference = {} if name == STUDENT else _limits(student_RF - own_RF)
        intervals = _limits(own_RF)
        if name == PSNR:
            intervals.pop("rmse", None)
            difference.pop("rmse", None)
        figures[name] = row.model_copy(update={"intervals": intervals, "difference": difference})
    return figures


def _quick(score_C: np.ndarray, mos_C: np.ndarray) -> tuple[float, float, float]:
    """Return SROCC, PLCC and RMSE; a correlation of a constant is NaN."""
    ranks = _plcc(stats.rankdata(score_C), stats.rankdata(mos_C))
    return ranks, _plcc(score_C, mos_C), rmse(score_C, mos_C)


def _plcc(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else float("nan")


def _limits(figures_RF: np.ndarray) -> dict[str, Interval]:
    """Return percentile intervals of resampled figures, without those that are not defined."""
    if not len(figures_RF):
        return {}
    levels = (100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2)
    low_F, high_F = np.nanpercentile(figures_RF, levels, axis=0)
    return {
        name: Interval(low=low, high=high)
        for name, low, high in zip(WITH_INTERVAL, low_F, high_F, strict=True)
        if np.isfinite([low, high]).all()
    }


def _doubt(student: ClipFigures, ceiling: Mapping[str, float]) -> str | None:
    """Return a sentence if a figure is above what subjects reach among themselves."""
    above = [
        f"{name.upper()} {value:.3f} is above the {highest:.3f}"
        for name, highest in ceiling.items()
        if (value := getattr(student, name)) is not None and value > highest
    ]
    if not above:
        return None
    return (
        f"{' and '.join(above)} that subjects reach among themselves; look for a leak, such as a "
        "label of the clip among the inputs, or sources that are near relatives"
    )
