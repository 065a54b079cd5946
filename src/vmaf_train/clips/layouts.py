"""The table of corpus layouts: how the pairs at a path are found."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vmaf_train.clips import netflix
from vmaf_train.clips.pairs import Scan


@dataclass(frozen=True)
class Layout:
    """A layout of pairs on disk.

    Attributes:
        name: name of the layout, shown to people.
        recognises: tells whether a path holds a corpus of this layout.
        scan: finds the pairs; takes the arguments of `netflix.scan`.
    """

    name: str
    recognises: Callable[[Path], bool]
    scan: Callable[..., Scan]


# The first layout that recognises the path is used. The last one recognises every path; its errors
# show how the files of a corpus are named.
LAYOUTS = (Layout("Netflix", recognises=lambda path: True, scan=netflix.scan),)


def find_layout(path: Path) -> Layout:
    """Return the layout of the corpus at a path."""
    return next(layout for layout in LAYOUTS if layout.recognises(path))
