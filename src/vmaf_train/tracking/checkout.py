"""The version of the code: the commit of the checkout, and whether it has uncommitted changes."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

# Git ignores these folders here: promotions write them, and no training reads them.
_OUTPUTS = (":(top,exclude)model/tiny", ":(top,exclude)docs/ai/models")


@dataclass(frozen=True)
class Checkout:
    """The state of the checkout, as tags of a run.

    Attributes:
        commit: hash of the commit, or "unknown".
        dirty: whether there are uncommitted changes: "true", "false" or "unknown".
    """

    commit: str = "unknown"
    dirty: str = "unknown"


def find_checkout() -> Checkout:
    """Return the state of the checkout that this code runs from; unknown for an installed copy."""
    here = Path(__file__).resolve()

    def git(*words: str) -> str:
        command = ["git", "-C", str(here.parent), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        # An installed copy can lie inside another project's checkout. Only a checkout that tracks
        # this file counts.
        git("ls-files", "--error-unmatch", here.name)
        changed = git("status", "--porcelain", "--", ":/", *_OUTPUTS)
        return Checkout(git("rev-parse", "HEAD"), str(bool(changed)).lower())
    except (OSError, subprocess.CalledProcessError):
        return Checkout()
