"""The trial of a student from outside: a process with little memory that scores a few rows.

It imports little, because it is started for each such file.
"""

import sys
from contextlib import suppress

import numpy as np

from vmaf_train.errors import InputError
from vmaf_train.onnx_file.inference import OnnxStudent

# Rows per call: scores must follow their number.
TRIALS = (1, 7)


def main(memory: int, name: str) -> int:
    """Load the student on standard input and score a few rows; print what is wrong with it.

    Args:
        memory: most bytes of this process.
        name: name of the file, for errors.

    Returns:
        The exit status: 1 if something is wrong.
    """
    # Not on every system; without it, time is the only limit.
    with suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        student = OnnxStudent(sys.stdin.buffer.read(), name)
        for rows in TRIALS:
            student.score(np.full((rows, len(student.features)), 0.5))
    except InputError as error:
        print(error)
        return 1
    except MemoryError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2]))
