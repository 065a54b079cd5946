"""Choose the held-out sources: one for a training, several in turn for a sweep."""

from collections.abc import Iterable, Sequence

from vmaf_train.errors import InputError
from vmaf_train.frames.choice import AUTO
from vmaf_train.frames.table import FrameTable

DEFAULT_HOLD_OUT = "Tennis"


def choose_hold_out(sources: Iterable[str], wanted: str = AUTO) -> str:
    """Return the source to hold out: `wanted`; for "auto" Tennis, or else the last source by name.

    Raises:
        InputError: the source is not in the corpus, or no other source is left to train on.
    """
    known = sorted(set(sources))
    if wanted == AUTO:
        wanted = DEFAULT_HOLD_OUT if DEFAULT_HOLD_OUT in known else known[-1]
    if wanted not in known:
        raise InputError(
            f"val_source {wanted} is not in the corpus; "
            f"choose one of: {', '.join(known)}, or {AUTO}"
        )
    if len(known) == 1:
        raise InputError(
            f"{wanted} is the only source, so nothing is left to train on; "
            "use a corpus (or max_pairs) of two or more"
        )
    return wanted


def choose_folds(clip_sources: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the sources to hold out in turn: those in `wanted`, or all if it is empty.

    Args:
        clip_sources: the source of each clip of the corpus.
        wanted: names of sources.

    Raises:
        InputError: a fold is not in the corpus, the corpus has only one source, or all folds
            together hold only one clip.
    """
    present = sorted(set(clip_sources))
    chosen = tuple(dict.fromkeys(wanted)) or tuple(present)
    if unknown := [fold for fold in chosen if fold not in present]:
        raise InputError(
            f"folds {', '.join(unknown)} not in the corpus; "
            f"choose some of: {', '.join(present)}, or all"
        )
    # Raises if the corpus has only one source.
    choose_hold_out(present)
    if sum(source in chosen for source in clip_sources) < 2:
        raise InputError(
            f"{', '.join(chosen)} has one pair, too few for an interval; "
            "choose folds with two or more"
        )
    return chosen


def split(table: FrameTable, hold_out: str) -> tuple[FrameTable, FrameTable]:
    """Return the frames (training, validation): of all other sources, and of the held-out one."""
    return table.only(set(table.sources) - {hold_out}), table.only({hold_out})
