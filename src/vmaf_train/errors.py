"""What can go wrong, in words for the person at the keyboard.

Every message names the fact (which file, which value) and the next step. Library code raises these;
only the command line prints them and turns `exit_code` into the status of the process.
"""

from collections.abc import Sequence


class VmafTrainError(Exception):
    """Something failed that a retry or a repaired environment may cure."""

    exit_code = 1


class InputError(VmafTrainError):
    """The input or the environment is not usable as it is: a file, a value, a missing tool, a full disk."""

    exit_code = 2


class ExtractionError(VmafTrainError):
    """An external tool failed or its output does not add up; the message holds the command and its last words."""


class GateRefusedError(VmafTrainError):
    """A promotion gate said no; nothing was changed. `gates` holds them all, in order."""

    exit_code = 3

    def __init__(self, message: str, gates: Sequence[object]) -> None:
        super().__init__(message)
        self.gates = gates
