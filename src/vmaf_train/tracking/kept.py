"""What a training made, in a local folder, until MLflow has it.

A server can die between a fit of hours and its log. So the results are written first. `upload`
finishes the run from the folder.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from vmaf_train.contracts import Contract
from vmaf_train.errors import InputError, VmafTrainError
from vmaf_train.files import read_whole, write_whole
from vmaf_train.tracking.run import Run, is_of_mlflow
from vmaf_train.tracking.store import few_retries, first_line, without_password

FACTS = "run.json"


class KeptRun(Contract):
    """`run.json`: what is logged besides the files.

    Attributes:
        run_id: id of the run.
        arch: name of the student's architecture, and of its .onnx file.
        metrics: by name.
        tags: by name, with those of the code that trained it.
        rows: some rows of features, for the example of the model.
    """

    schema_version: int = 1
    run_id: str
    arch: str
    metrics: dict[str, float]
    tags: dict[str, str]
    rows: list[list[float]]


@contextmanager
def keeping(
    run: Run, root: Path, facts: Mapping[str, object], files: Mapping[str, bytes]
) -> Iterator[None]:
    """Keep the results of a run in `root/<run id>` while the body logs them to MLflow.

    Args:
        run: the run.
        root: folder of all that is kept.
        facts: see KeptRun, without the id of the run.
        files: content of the artifacts, by name.

    Raises:
        VmafTrainError: MLflow or a disk failed; the message names the folder and the command that
            finishes. After any other error, the folder stays, too.
    """
    folder = root / run.run_id
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_whole(folder / name, content)
    kept = KeptRun.model_validate({**facts, "run_id": run.run_id})
    write_whole(folder / FACTS, kept.model_dump_json(indent=2).encode())
    try:
        with few_retries():
            yield
    except Exception as error:
        if not (is_of_mlflow(error) or isinstance(error, OSError)):
            raise
        raise VmafTrainError(
            f"MLflow failed: {without_password(first_line(error))}; what was trained is kept. "
            f"When the store is there again, run: vmaf-train upload {folder}"
        ) from error
    remove_kept(folder)


def remove_kept(folder: Path) -> None:
    """Remove a folder of `keeping`, and the folders above that were made for it alone."""
    shutil.rmtree(folder)
    with suppress(OSError):
        folder.parent.rmdir()
        folder.parent.parent.rmdir()


def read_kept(folder: Path) -> tuple[KeptRun, dict[str, bytes]]:
    """Read a folder of `keeping`.

    Returns:
        What is logged, and the content of the artifacts by name.

    Raises:
        InputError: the folder is none.
    """
    try:
        kept = KeptRun.model_validate_json(read_whole(folder / FACTS))
        names = sorted(path.name for path in folder.iterdir() if path.name != FACTS)
        return kept, {name: read_whole(folder / name) for name in names}
    except (OSError, ValidationError) as error:
        raise InputError(
            f"{folder} holds no results of a training: {first_line(error)}; "
            "pass the folder that train named"
        ) from error
