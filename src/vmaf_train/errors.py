"""Errors for the user: each says what was wrong, with which file or value, and what to do next.

Library code raises these. Only the command line prints them and exits with `exit_code`.
"""

from collections.abc import Sequence


class VmafTrainError(Exception):
    """Base of all errors: something failed, and a retry or a repaired environment can help."""

    exit_code = 1


class InputError(VmafTrainError):
    """The input or the environment is not usable: a file, a value, a missing tool, a full disk."""

    exit_code = 2


class ExtractionError(VmafTrainError):
    """An external tool failed, or its output is incomplete; the message names clip or command."""


class GateRefusedError(VmafTrainError):
    """A gate refused a promotion, and nothing was changed, or an expectation was not met.

    `gates` holds all gates of a promotion, in order.
    """

    exit_code = 3

    def __init__(self, message: str, gates: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.gates = gates
