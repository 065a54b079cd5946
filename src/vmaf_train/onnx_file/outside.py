"""A student from outside: a file that anybody may have made, or the answer of a server.

It must keep the contract, whose operators cannot loop. Then a child process with limits of time and
memory loads it and scores a few rows. Only then is it loaded here.
"""

import subprocess
import sys

from vmaf_train.errors import InputError, VmafTrainError
from vmaf_train.onnx_file.contract import check_contract
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.onnx_file.trial import TRIALS

# The most bytes of a file, and of the memory of the child; its seconds.
MOST_BYTES, MOST_MEMORY, MOST_SECONDS = 64 << 20, 4 << 30, 30
# SHA-256 of the files that passed the trial in this process.
_passed: set[str] = set()


def student_from_outside(content: bytes, name: str) -> OnnxStudent:
    """Load a student that may be anything.

    Args:
        content: the bytes of the file.
        name: name of the file, for errors.

    Raises:
        InputError: it breaks the contract, cannot score a few rows within the limits, or is no
            student.
    """
    if len(content) > MOST_BYTES:
        raise InputError(f"{name} is larger than the {MOST_BYTES:,} bytes that a student may have")
    try:
        check_contract(content)
    except VmafTrainError as error:
        raise InputError(f"{name}: {error}; pass a student of vmaf-train") from error
    _try(content, name)
    return OnnxStudent(content, name)


def _try(content: bytes, name: str) -> None:
    sha256 = OnnxStudent.hash_of(content)
    if sha256 in _passed:
        return
    command = [sys.executable, "-m", "vmaf_train.onnx_file.trial", str(MOST_MEMORY), name]
    try:
        done = subprocess.run(
            command, input=content, capture_output=True, timeout=MOST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"{name} does not score {max(TRIALS)} frames in {MOST_SECONDS} s; pass another model"
        ) from error
    if done.returncode:
        said = done.stdout.decode(errors="replace").strip()
        raise InputError(
            said
            or f"{name} does not score {max(TRIALS)} frames in {MOST_MEMORY >> 30} GB of "
            "memory, or ends the process; pass another model"
        )
    _passed.add(sha256)
