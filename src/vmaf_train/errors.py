"""Errors for the user: each says what was wrong, with which file or value, and what to do next.

Library code raises these. Only the command line prints them and exits with `exit_code`.
"""

from collections.abc import Sequence


class VmafTrainError(Exception):
    """Something failed that a retry or a repaired environment may cure."""

    exit_code = 1


class InputError(VmafTrainError):
    """The input or the environment is not usable: a file, a value, a missing tool, a full disk."""

    exit_code = 2


class ExtractionError(VmafTrainError):
    """An external tool failed, or its output is not whole; names the command and its last words."""


class GateRefusedError(VmafTrainError):
    """A gate refused a promotion; nothing was changed. `gates` holds all gates, in order."""

    exit_code = 3

    def __init__(self, message: str, gates: Sequence[object]) -> None:
        super().__init__(message)
        self.gates = gates
