"""Models that MLflow holds: find the ONNX file behind a run id or a model URI."""

import re
import tempfile
from pathlib import Path

from vmaf_train.errors import InputError
from vmaf_train.inference import OnnxStudent
from vmaf_train.tracking import first_line

RUN_ID = re.compile(r"[0-9a-f]{32}")


def find_student(model: str) -> tuple[OnnxStudent, str]:
    """Load a student from a path to an .onnx file, an MLflow run id, or a models:/ or runs:/ URI.

    Returns:
        The loaded student and a name for people.

    Raises:
        InputError: nothing is there, it holds no ONNX file or more than one, or the file is not a student.
    """
    if RUN_ID.fullmatch(model) or model.startswith(("models:/", "runs:/")):
        student = OnnxStudent(_download(model), model)
        return student, str(student.facts.get("arch", model))
    if Path(model).suffix != ".onnx":
        raise InputError(f"model {model!r} is neither a run id, a models:/ or runs:/ URI nor the path of an .onnx file")
    if not Path(model).is_file():
        raise InputError(f"no file {model}; pass a run id, a models:/ URI or the path of an .onnx file")
    return OnnxStudent(Path(model).read_bytes(), model), Path(model).stem


def _download(model: str) -> bytes:
    """Fetch the one .onnx file of a run or below an MLflow artifact address."""
    import mlflow

    with tempfile.TemporaryDirectory(prefix="vmaf-train-") as folder:
        try:
            if RUN_ID.fullmatch(model):
                names = [entry.path for entry in mlflow.artifacts.list_artifacts(run_id=model)]
                addresses = [f"runs:/{model}/{name}" for name in names if name.endswith(".onnx")]
            else:
                addresses = [model]
            for address in addresses:
                # With a folder of its own, or a local store would hand out its own files.
                mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=folder)
        except (mlflow.MlflowException, OSError) as error:
            raise InputError(
                f"MLflow has no {model} in {mlflow.get_tracking_uri()}: {first_line(error)}; "
                "check the id and MLFLOW_TRACKING_URI"
            ) from error
        files = sorted(Path(folder).rglob("*.onnx"))
        if len({file.read_bytes() for file in files}) != 1:
            found = ", ".join(file.name for file in files) or "none"
            raise InputError(f"{model} should hold one ONNX model and holds {found}; pass the path of one .onnx file")
        return files[0].read_bytes()
