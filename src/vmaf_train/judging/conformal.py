"""Intervals for the error on a new source, from the errors on sources that were left out.

Hierarchical conformal prediction: each of K sources has weight 1 / (K + 1), spread evenly over its
errors, and the mass 1 / (K + 1) lies at infinity. The quantile of that distribution covers an error
of a new source with at least its level, if the sources are exchangeable, for any distribution.

Source: Dunn, Wasserman, Ramdas, Distribution-free prediction sets for two-layer hierarchical
models, 2023 (pooling CDFs); Lee, Barber, Willett, Distribution-free inference with hierarchical
data, 2023 (the bound for finite K).
"""

from collections.abc import Iterable, Sequence

import numpy as np

from vmaf_train.frames.table import FrameTable
from vmaf_train.onnx_file.expected_error import HalfWidth, StatedInterval

# The wanted confidence; fewer than 19 sources cannot promise it.
CONFIDENCE = 0.95
# Numbers of consecutive frames whose mean error is judged.
WINDOWS = (1, 12, 48, 192, 768)
# Half-widths are rounded up to this many significant digits.
DIGITS = 4


def reachable(sources: int) -> float:
    """Return the confidence that this many sources can promise: 0.95, or K / (K + 1) below it."""
    return min(CONFIDENCE, sources / (sources + 1))


def source_quantile(errors: Sequence[np.ndarray], level: float, *, new: int = 0) -> float:
    """Return a quantile of errors in which every source has the same weight.

    Args:
        errors: the errors of each source, float64 of shape (n,); none is empty.
        level: from 0 to 1.
        new: number of sources to come, each with an infinite error; 1 gives the conformal quantile.

    Returns:
        The smallest error that at least `level` of the weight does not exceed; infinity if there is
        none.
    """
    shares = [np.full(len(each), 1 / len(each) / (len(errors) + new)) for each in errors]
    error_N, share_N = np.concatenate(errors), np.concatenate(shares)
    order = np.argsort(error_N)
    # Sums of shares are rounded; a level that they reach exactly must count as reached.
    at = int(np.searchsorted(np.cumsum(share_N[order]), level - 1e-9))
    return float(error_N[order][at]) if at < len(order) else float("inf")


def interval_of(errors: Iterable[tuple[int, Sequence[np.ndarray]]]) -> StatedInterval:
    """Return the interval that errors of sources give.

    Args:
        errors: numbers of frames, ascending, with the absolute pooled errors of each source.
    """
    rows, widest, sources = [], 0.0, 0
    for frames, of_sources in reversed(list(errors)):
        sources = len(of_sources)
        # More frames never miss by more: the widest of all longer ones counts.
        widest = max(widest, source_quantile(of_sources, reachable(sources), new=1))
        rows.append(HalfWidth(frames=frames, half_width=_rounded_up(widest)))
    confidence = round(reachable(sources), DIGITS)
    return StatedInterval(confidence=confidence, sources=sources, half_widths=tuple(rows[::-1]))


def pooled_errors(
    error_N: np.ndarray, table: FrameTable
) -> list[tuple[int, dict[str, np.ndarray]]]:
    """Return the absolute pooled errors of each source, by number of frames.

    Errors are pooled over windows of consecutive frames of a clip, without overlap. A length is
    left out if a source has no clip as long. The last entry is whole clips; its number of frames is
    that of the longest clip.

    Args:
        error_N: errors of the frames, float64 of shape (frames,).
        table: the frames.
    """
    lengths = [rows.stop - rows.start for rows in table.clip_rows]
    longest = dict.fromkeys(table.sources, 0)
    for source, length in zip(table.clip_sources, lengths, strict=True):
        longest[source] = max(longest[source], length)
    windows = [length for length in WINDOWS if length <= min(longest.values())]
    pooled = [(length, _pooled(error_N, table, length)) for length in windows]
    whole = max(lengths)
    return [*(row for row in pooled if row[0] < whole), (whole, _pooled(error_N, table, None))]


def _pooled(error_N: np.ndarray, table: FrameTable, window: int | None) -> dict[str, np.ndarray]:
    """Return the absolute errors of each source's windows; of its clips if `window` is None."""
    means: dict[str, list[np.ndarray]] = {source: [] for source in table.sources}
    for source, rows in zip(table.clip_sources, table.clip_rows, strict=True):
        clip_T = error_N[rows]
        size = window or len(clip_T)
        whole = len(clip_T) // size * size
        means[source].append(np.abs(clip_T[:whole].reshape(-1, size).mean(1)))
    return {source: np.concatenate(parts) for source, parts in means.items()}


def _rounded_up(value: float) -> float:
    """Round up to DIGITS significant digits."""
    if value <= 0:
        return 0.0
    scale = 10.0 ** (DIGITS - 1 - int(np.floor(np.log10(value))))
    return float(f"{np.ceil(value * scale) / scale:.{DIGITS}g}")
