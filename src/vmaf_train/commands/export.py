"""`export`: write a student as a file that other programs run."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from vmaf_train.errors import InputError
from vmaf_train.extraction.libvmaf import filter_with
from vmaf_train.files import write_whole
from vmaf_train.shipping.finding import FOR_EXPORT, find_student
from vmaf_train.shipping.libvmaf_model import LibvmafModel, libvmaf_model_of


@dataclass(frozen=True)
class Exported:
    """A student that was written for libvmaf.

    Attributes:
        path: path of the file.
        name: name of the student, for people.
        model: the file's content, and how exact it is.
    """

    path: Path
    name: str
    model: LibvmafModel

    @property
    def command(self) -> str:
        """The line that scores a video with this file, for a shell."""
        filter = shlex.quote(filter_with(self.path))
        return f"ffmpeg -i distorted.mp4 -i reference.mp4 -lavfi {filter} -f null -"


def export_libvmaf(model: str, out: Path) -> Exported:
    """Write a student as a model file of libvmaf; nothing is written after an error.

    Args:
        model: run id, models:/ or runs:/ URI, path of an .onnx file, or id of a shipped student.
        out: path of the file.

    Raises:
        InputError: there is no such student, libvmaf cannot hold it, or the file cannot be written.
    """
    found = find_student(model, FOR_EXPORT)
    made = libvmaf_model_of(found.student, found.name)
    try:
        write_whole(out, made.content)
    except OSError as error:
        raise InputError(
            f"cannot write {out}: {error.strerror}; name a file in a folder that can be written"
        ) from error
    return Exported(out, found.name, made)
