"""The options by which a user chooses a corpus, which many commands share.

A new option is one row of OPTIONS and one field of `CorpusChoice`.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from vmaf_train import options
from vmaf_train.errors import InputError
from vmaf_train.exits import exit_code
from vmaf_train.frames.choice import ALL, AUTO, DEMO, CorpusChoice
from vmaf_train.teacher.teachers import Teacher, find_teacher

# The type and the default of each option. A command has all of them, or those that it names.
OPTIONS: Mapping[str, tuple[Any, object]] = {
    "corpus": (options.Corpus, DEMO),
    "assume_dims": (options.Dims, AUTO),
    "assume_pix_fmt": (options.AssumePixFmt, CorpusChoice.assume_pix_fmt),
    "scale": (options.Scale, CorpusChoice.scale),
    "offset": (options.Offset, CorpusChoice.offset),
    "verify_content": (options.VerifyContent, options.YesNo.no),
    "max_pairs": (options.MaxPairs, 0),
    "teacher": (options.TeacherName, AUTO),
    "frames": (options.Frames, ALL),
    "strict": (options.Strict, options.YesNo.no),
}
# Of the commands that judge students.
OPINIONS: Mapping[str, tuple[Any, object]] = {
    "mos_csv": (options.MosCsv, CorpusChoice.mos_csv),
    "same_source": (options.SameSource, CorpusChoice.same_source),
}
# Of the commands that run passes over a corpus and nothing else.
EXTRACTION: Mapping[str, tuple[Any, object]] = {
    "sources": (options.Sources, ALL),
    "jobs": (options.Jobs, 0),
}


def with_corpus(
    shared: Mapping[str, tuple[Any, object]] = {**OPTIONS, **OPINIONS},
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives a command the options of a corpus.

    The command's first parameter is the `CorpusChoice` that they make. What it raises becomes the
    exit code and a line for the user.

    Args:
        shared: type and default of each option that the command has besides its own.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command)
        _, *own = signature.parameters.values()
        kind = inspect.Parameter.KEYWORD_ONLY
        added = [
            inspect.Parameter(name, kind, default=default, annotation=annotation)
            for name, (annotation, default) in shared.items()
        ]

        def run(**given: Any) -> None:
            with exit_code():
                choice = choice_of({name: given.pop(name) for name in shared})
                command(choice, **given)

        parameters = [*(each.replace(kind=kind) for each in own), *added]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        return run

    return decorate


def choice_of(given: Mapping[str, Any]) -> CorpusChoice:
    """Return the choice of a corpus from the values of options.

    Raises:
        InputError: a list holds no name.
    """
    values: dict[str, Any] = {
        name: value == options.YesNo.yes if isinstance(value, options.YesNo) else value
        for name, value in given.items()
    }
    if "sources" in values:
        values["sources"] = names_in(values["sources"], "sources")
    if "teacher" in values:
        values["teachers"] = teachers_in(values.pop("teacher"))
    return CorpusChoice(**values)


def teachers_in(text: str) -> tuple[Teacher, ...]:
    """Return the teachers of a comma-separated option; "auto" gives none.

    Raises:
        InputError: no such teacher.
    """
    if text == AUTO:
        return ()
    return tuple(dict.fromkeys(find_teacher(name.strip()) for name in text.split(",")))


def names_in(text: str, option: str) -> tuple[str, ...]:
    """Split a comma-separated option; "all" gives no names.

    Raises:
        InputError: there is no name in it.
    """
    if text == ALL:
        return ()
    wanted = tuple(name.strip() for name in text.split(",") if name.strip())
    if not wanted:
        raise InputError(f"{option} {text!r} holds no name; write names like a,b or {ALL}")
    return wanted


def share_in(text: str) -> float | None:
    """Read a share above 0 and up to 1; "none" gives None.

    Raises:
        InputError: the text is neither.
    """
    if text == options.NONE:
        return None
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise InputError(f"expect {text!r} is no share above 0 and up to 1; write it like 0.95")
    return share
