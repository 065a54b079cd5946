"""Opinion scores of clips: read from a list, matched by name, put beside the frames.

A score is higher for better quality, on a scale of about 0 to 100. docs/opinions.md tells more.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vmaf_train.clips.manifest import SCORES, rows_of
from vmaf_train.clips.netflix import DIS_NAME, REF_NAME
from vmaf_train.errors import InputError
from vmaf_train.frames.table import FrameTable, rated_clips

# Opinion scores of the public Netflix corpus, and how the option names them. Source:
# resource/dataset/NFLX_dataset_public.py in github.com/Netflix/vmaf.
NETFLIX_PUBLIC = "netflix_public"
NETFLIX_TABLE = Path(__file__).with_name("netflix_public.csv")
# The usual scale of five categories, which must be mapped first (ITU-T P.910).
FIVE_POINTS = (1.0, 5.0)
# With this many clips, a rank correlation with the teacher below this means opposed scales.
ENOUGH, OPPOSED = 8, -0.3
# Names of clips that a line names.
NAMED = 5


@dataclass(frozen=True)
class Opinions:
    """A list of opinion scores.

    Attributes:
        name: of the list, without its path.
        scores: by the name of the clip, without the ending of its file.
    """

    name: str
    scores: Mapping[str, float]


def read_opinions(choice: str) -> Opinions:
    """Read a list of opinion scores.

    Args:
        choice: path of a CSV file with the columns name and score, mos or dmos; or
            "netflix_public" for the packaged list.

    Raises:
        InputError: the file cannot be read, lacks a column, has a malformed score, or gives one
            clip two scores.
    """
    public = choice == NETFLIX_PUBLIC
    path = NETFLIX_TABLE if public else Path(choice).expanduser()
    rows = rows_of(path, ("name",))
    columns = [name for name in ("score", *SCORES) if name in rows[0]]
    if len(columns) != 1:
        raise InputError(f"{path} needs one column of scores: score, mos or dmos")
    scores: dict[str, float] = {}
    for row in rows:
        name, score = clip_named(row["name"]), _number(path, row["name"], row[columns[0]])
        if scores.setdefault(name, score) != score:
            raise InputError(f"{path} gives {name} the scores {scores[name]} and {score}; keep one")
    return Opinions(NETFLIX_PUBLIC if public else path.name, scores)


def clip_named(name: str) -> str:
    """Return the name of the clip that a file name, or the name itself, stands for."""
    return Path(name).stem if Path(name).suffix else name


def matched(opinions: Opinions, clips: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Return the score of each clip, and what the user should know of the match.

    Args:
        opinions: the scores.
        clips: the names of the clips.

    Returns:
        float64 of shape (clips,), NaN for a clip without a score; and lines for the user.

    Raises:
        InputError: no clip has a score.
    """
    mos_C = np.array([opinions.scores.get(clip, math.nan) for clip in clips])
    if np.isnan(mos_C).all():
        raise InputError(
            f"no name in {opinions.name} is that of a clip, such as {clips[0]}; "
            "use the names of the distorted files"
        )
    without = [clip for clip, score in zip(clips, mos_C, strict=True) if math.isnan(score)]
    # References are rated too. They are no encodes, so their scores are not used.
    unused = [
        name
        for name in sorted(opinions.scores.keys() - set(clips))
        if not REF_NAME.fullmatch(f"{name}.yuv") or DIS_NAME.fullmatch(f"{name}.yuv")
    ]
    lines = [f"{len(clips) - len(without)} of {len(clips)} clips have a score in {opinions.name}"]
    if without:
        lines.append(f"{len(without)} without a score teach only the teacher's: {_listed(without)}")
    if unused:
        lines.append(f"{len(unused)} scores are of no clip here: {_listed(unused)}")
    return mos_C, lines


def check_categories(mos_C: np.ndarray, name: str) -> None:
    """Raise InputError if scores are those of five categories.

    Args:
        mos_C: scores, float64 of shape (clips,), NaN for a clip without one.
        name: of the list of scores.
    """
    known = mos_C[~np.isnan(mos_C)]
    lowest, highest = FIVE_POINTS
    if len(known) > 1 and known.min() >= lowest and known.max() <= highest:
        raise InputError(
            f"the scores of {name} lie between {known.min():g} and {known.max():g}, which are five "
            "categories and no scale from 0 to 100; write 25 * (score - 1) instead"
        )


def check_learnable(table: FrameTable, hold_out: Iterable[str]) -> None:
    """Check that a student can learn from the opinion scores of a table.

    Args:
        table: frames of every source.
        hold_out: sources that are held out, one at a time.

    Raises:
        InputError: without one of them, fewer than two sources have scores; or scores fall where
            the teacher's rise.
    """
    rated = rated_clips(table)
    with_scores = {source for source, known in zip(table.clip_sources, rated, strict=True) if known}
    for source in hold_out:
        if len(with_scores - {source}) < 2:
            raise InputError(
                f"without {source}, {len(with_scores - {source})} source(s) have clips with an "
                "opinion score, and two are needed; pass mos_csv, or a list of pairs with a column "
                f"mos; mos_csv={NETFLIX_PUBLIC} is the list of the public Netflix corpus"
            )
    if table.mos_C is None or rated.sum() < ENOUGH:
        return
    teacher_C = np.array([table.y_N[rows].mean() for rows in table.clip_rows])
    if not np.ptp(teacher_C):
        # A smoke run.
        return
    teacher_ranks, mos_ranks = (
        np.argsort(np.argsort(scores[rated])) for scores in (teacher_C, table.mos_C)
    )
    if np.corrcoef(teacher_ranks, mos_ranks)[0, 1] < OPPOSED:
        raise InputError(
            "the opinion scores fall where the teacher's scores rise, so they seem to rate the "
            "impairment; write 100 - score, since higher must be better"
        )


def _number(path: Path, name: str, text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise InputError(f"{path}: {name} has the score {text!r}; write a number")
    return score


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
