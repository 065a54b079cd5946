"""`upload`: finish the run of a training whose server was lost, from the folder that was kept."""

import os
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from vmaf_train.errors import InputError
from vmaf_train.judging.report import REPORT, EvalReport
from vmaf_train.onnx_file.outside import student_from_outside
from vmaf_train.tracking.kept import read_kept, remove_kept
from vmaf_train.tracking.links import Links, links_to
from vmaf_train.tracking.run import RUN_ID_VARIABLE, tracked
from vmaf_train.tracking.store import few_retries


def upload(folder: Path) -> Links:
    """Log what a folder holds to its run, end the run as FINISHED, and remove the folder.

    The run gets all that a training logs, but for its datasets and figures.

    Args:
        folder: the folder that `train` named.

    Raises:
        InputError: it holds no results of a training, or the store has no such run.
        VmafTrainError: MLflow failed again; the folder stays.
    """
    kept, files = read_kept(folder)
    name = f"{kept.arch}.onnx"
    if name not in files or REPORT not in files:
        raise InputError(f"{folder} lacks {name} or {REPORT}; train again")
    student = student_from_outside(files[name], name)
    try:
        report = EvalReport.model_validate_json(files[REPORT])
    except ValidationError as error:
        fault = error.errors()[0]["msg"]
        raise InputError(f"{folder}: {REPORT} is damaged ({fault}); train again") from error
    if report.model.onnx_sha256 != student.sha256:
        raise InputError(f"{folder}: {name} is not the file that {REPORT} judges; train again")

    os.environ[RUN_ID_VARIABLE] = kept.run_id
    with few_retries(), tracked(kept.arch) as run:
        run.log_tags(kept.tags)
        run.log_metrics(kept.metrics)
        run.log_files(files)
        run.log_model(student, np.array(kept.rows))
        run.clear_error()
    remove_kept(folder)
    return links_to(kept.run_id)
