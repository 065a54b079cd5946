"""The MLflow model registry: find a student, judge it at the gates, register it once, and move its alias."""

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from vmaf_train.errors import InputError, VmafTrainError
from vmaf_train.features import CANONICAL, set_of
from vmaf_train.frames.table import FrameTable, unpack
from vmaf_train.judging.evaluation import EvalReport, compare, score_table
from vmaf_train.onnx_file.contract import check_contract
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.shipping.in_tree import REPORT, SHIPPED, Promoted, ShippedModel, place_of
from vmaf_train.tracking import first_line, open_store, store_lock, without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

REGISTERED_MODEL = "vmaf_tiny"
RUN_ID = re.compile(r"[0-9a-f]{32}")
HELD_OUT = "held_out.npz"
SAME_SCORE = 1e-4


@dataclass(frozen=True)
class Gate:
    """One condition for a promotion, whether it holds, and the fact behind it."""

    name: str
    passed: bool
    fact: str


@dataclass(frozen=True, eq=False)
class Candidate:
    """A run's student with all that the gates look at."""

    run_id: str
    model_id: str
    status: str
    tags: Mapping[str, str]
    student: OnnxStudent
    report: EvalReport
    held_out: FrameTable
    score_N: np.ndarray

    @property
    def feature_set(self) -> str | None:
        """Name of the set of its features."""
        features = set_of(self.report.model.features)
        return features.name if features else None

    @property
    def place(self) -> ShippedModel | None:
        """The place in the tree that its arch and features may fill."""
        return place_of(self.report.model.arch, self.feature_set)


def find_student(model: str) -> tuple[OnnxStudent, str]:
    """Load a student from a path to an .onnx file, an MLflow run id, or a models:/ or runs:/ URI.

    Returns:
        The loaded student and a name for people.

    Raises:
        InputError: nothing is there, it holds no ONNX file or more than one, or the file is not a student.
    """
    if RUN_ID.fullmatch(model) or model.startswith(("models:/", "runs:/")):
        student = OnnxStudent(_download_onnx(model), model)
        return student, str(student.facts.get("arch", model))
    if Path(model).suffix != ".onnx":
        raise InputError(
            f"model {model!r} is neither a run id, a models:/ or runs:/ URI nor the path of an .onnx file"
        )
    if not Path(model).is_file():
        raise InputError(
            f"no file {model}; pass a run id, a models:/ URI or the path of an .onnx file"
        )
    return OnnxStudent(Path(model).read_bytes(), model), Path(model).stem


def find_candidate(run_id: str) -> Candidate:
    """Fetch what a training run logged.

    Raises:
        InputError: no such run, or it is no training run with model, report and held-out frames.
    """
    if not RUN_ID.fullmatch(run_id):
        raise InputError(
            f"run_id {run_id!r} is not a run id: 32 hex digits, as `vmaf-train train` prints them"
        )
    with _asking(f"run {run_id}") as client:
        run = client.get_run(run_id)
        models = [output.model_id for output in (run.outputs.model_outputs if run.outputs else [])]
    if len(models) != 1:
        raise InputError(
            f"run {run_id} logged {len(models)} models, not one; pass the id of a training run"
        )
    held_out, score_N = unpack(_download(f"runs:/{run_id}/{HELD_OUT}"))
    return Candidate(
        run_id=run_id,
        model_id=models[0],
        status=run.info.status
        if run.info.lifecycle_stage == "active"
        else run.info.lifecycle_stage,
        tags=run.data.tags,
        student=OnnxStudent(_download_onnx(f"models:/{models[0]}"), f"the model of run {run_id}"),
        report=_report_of(run_id),
        held_out=held_out,
        score_N=score_N,
    )


def judge(candidate: Candidate, allow_worse: bool, allow_dirty: bool) -> list[Gate]:
    """Hold a candidate to every gate; all evidence is held-out content.

    Args:
        candidate: from `find_candidate`.
        allow_worse: let a student pass that is worse than the one that holds its alias.
        allow_dirty: let a student pass that was trained from a checkout with uncommitted changes.
    """
    report, student, tags = candidate.report, candidate.student, candidate.tags
    place = candidate.place
    kind = f"{report.model.arch} on features {candidate.feature_set}"
    finished = candidate.status == "FINISHED" and tags.get("smoke") == "false"
    correlations = [
        getattr(m, key) for m in (report, report.pooled) for key in ("plcc", "srocc", "krocc")
    ]
    gates = [
        Gate("finished run", finished, f"{candidate.status}, smoke {tags.get('smoke', 'unknown')}"),
        Gate(
            "enough to judge",
            None not in correlations,
            f"{report.n_samples} frames of {len(report.per_clip)} clips",
        ),
        Gate(
            "shipped arch",
            place is not None,
            f"{kind}" + ("" if place else ": never shipped"),
        ),
    ]
    try:
        check_contract(student.content)
        gates.append(Gate("model contract", True, f"{len(student.content)} bytes, one file"))
    except VmafTrainError as error:
        gates.append(Gate("model contract", False, str(error)))
    hashes = {student.sha256, report.model.onnx_sha256, tags.get("onnx_sha256", "none")}
    gates.append(
        Gate(
            "one file everywhere",
            len(hashes) == 1,
            f"sha256 {', '.join(sorted(h[:12] for h in hashes))}",
        )
    )
    gates.append(_reproduces(candidate))
    if place:
        gates.append(_not_worse(candidate, place, allow_worse))
    dirty = tags.get("git_dirty", "unknown")
    gates.append(
        Gate(
            "clean checkout",
            dirty == "false" or allow_dirty,
            f"dirty {dirty}{_allowed(allow_dirty)}",
        )
    )
    return gates


def promote(candidate: Candidate, place: ShippedModel) -> str:
    """Register a candidate, once for each file, point the place's alias at it, and return the version."""
    import mlflow

    with (
        store_lock(mlflow.get_registry_uri()),
        _asking(f"registered model {REGISTERED_MODEL}") as client,
    ):
        known = [v for v in _versions(client) if v.tags.get("sha256") == candidate.student.sha256]
        version = min(known, key=lambda v: int(v.version)) if known else _register(candidate)
        if _aliases(client).get(place.alias) != str(version.version):
            client.set_registered_model_alias(REGISTERED_MODEL, place.alias, version.version)
        return str(version.version)


def point_back(version: str) -> ShippedModel:
    """Point the alias of a registered version's arch at it; return the place whose alias moved.

    Raises:
        InputError: no such version, or it is of an arch that is never shipped.
    """
    import mlflow

    with (
        store_lock(mlflow.get_registry_uri()),
        _asking(f"{REGISTERED_MODEL} version {version}") as client,
    ):
        tags = client.get_model_version(REGISTERED_MODEL, version).tags
        # Versions of before there were other sets have no tag for theirs.
        place = place_of(tags.get("arch"), tags.get("features", CANONICAL.name))
        if place is None:
            raise InputError(
                f"version {version} of {REGISTERED_MODEL} fills no place in the tree; choose another"
            )
        fetch(version)  # a version whose file is not what it was must not come back
        client.set_registered_model_alias(REGISTERED_MODEL, place.alias, version)
    return place


def promoted_students() -> dict[str, Promoted]:
    """Return what the registry's aliases name now, by alias; aliases that ship nothing are left alone."""
    with _asking(f"registered model {REGISTERED_MODEL}") as client:
        aliases = _aliases(client)
    return {row.alias: fetch(aliases[row.alias]) for row in SHIPPED if row.alias in aliases}


def fetch(version: str) -> Promoted:
    """Download a registered version and verify it against its tags.

    Raises:
        VmafTrainError: its file, its report and its tags do not agree.
    """
    with _asking(f"{REGISTERED_MODEL} version {version}") as client:
        registered = client.get_model_version(REGISTERED_MODEL, version)
    wanted, run_id = registered.tags.get("sha256", "none"), registered.run_id or ""
    if not RUN_ID.fullmatch(run_id):
        raise VmafTrainError(
            f"version {version} of {REGISTERED_MODEL} names run {run_id!r}, which is no run id"
        )
    student = OnnxStudent(
        _download_onnx(f"models:/{REGISTERED_MODEL}/{version}"), f"version {version}"
    )
    report = _report_of(run_id)
    for what, found in (("file", student.sha256), ("report", report.model.onnx_sha256)):
        if found != wanted:
            raise VmafTrainError(
                f"version {version} of {REGISTERED_MODEL}: the {what} has sha256 {found}, its tag says {wanted}; "
                "nothing was written. Register the run again, or point the alias at another version"
            )
    return Promoted(
        student, report, run_id, registered.tags.get("git_commit", "unknown"), str(version)
    )


def _reproduces(candidate: Candidate) -> Gate:
    """Score the report's own frames again: same frames, same scores, same RMSE."""
    table, name = candidate.held_out, "report reproduced"
    if table.digest != candidate.report.dataset.digest:
        return Gate(name, False, "the held-out frames logged are not those of the report")
    again_N = score_table(candidate.student, table)
    off = float(np.abs(again_N - candidate.score_N).max())
    off_rmse = abs(compare(again_N, table.y_N).rmse - candidate.report.rmse)
    fact = f"scores within {off:.1e}, RMSE within {off_rmse:.1e} on {len(table)} frames"
    return Gate(name, max(off, off_rmse) <= SAME_SCORE, fact)


def _not_worse(candidate: Candidate, place: ShippedModel, allow_worse: bool) -> Gate:
    """Compare with the student that holds the alias, on the candidate's held-out frames."""
    name = "not worse"
    with _asking(f"registered model {REGISTERED_MODEL}") as client:
        version = _aliases(client).get(place.alias)
    try:
        holder = fetch(version) if version else None
    except VmafTrainError as error:
        return Gate(
            name, allow_worse, f"version {version} cannot be read: {error}{_allowed(allow_worse)}"
        )
    if holder is None:
        return Gate(name, True, "nothing holds the alias yet")
    if holder.student.sha256 == candidate.student.sha256:
        return Gate(name, True, f"it holds {place.alias} already")
    hold_out = candidate.report.hold_out
    trained_on = holder.student.facts.get("train_sources")
    if not isinstance(trained_on, list) or hold_out in trained_on:
        fact = f"version {holder.version} was trained on {hold_out}, so the two cannot be compared on it"
        return Gate(name, allow_worse, fact + _allowed(allow_worse))
    theirs = compare(score_table(holder.student, candidate.held_out), candidate.held_out.y_N)
    ours = compare(score_table(candidate.student, candidate.held_out), candidate.held_out.y_N)
    fact = f"RMSE {ours.rmse:.4f} against {theirs.rmse:.4f}, PLCC {ours.plcc or 0:.6f} against {theirs.plcc or 0:.6f}"
    worse = ours.rmse > theirs.rmse or (ours.plcc or 0) < (theirs.plcc or 0)
    return Gate(
        name, not worse or allow_worse, f"{fact} of version {holder.version}{_allowed(allow_worse)}"
    )


def _allowed(allowed: bool) -> str:
    return ", allowed" if allowed else ""


def _register(candidate: Candidate) -> "ModelVersion":
    import mlflow

    report, tags = candidate.report, candidate.tags
    facts = {
        "run_id": candidate.run_id,
        "arch": report.model.arch,
        "features": candidate.feature_set,
        "sha256": candidate.student.sha256,
        "dataset_digest": tags.get("dataset_digest"),
        "teacher": report.teacher,
        "hold_out": report.hold_out,
        "git_commit": tags.get("git_commit"),
        **{
            f"val_{key}": getattr(report, key)
            for key in ("n_samples", "plcc", "srocc", "krocc", "rmse")
        },
    }
    logging_tags = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()
    }
    return mlflow.register_model(
        f"models:/{candidate.model_id}", REGISTERED_MODEL, tags=logging_tags
    )


def _versions(client: "MlflowClient") -> "Sequence[ModelVersion]":
    return list(client.search_model_versions(f"name = '{REGISTERED_MODEL}'"))


def _aliases(client: "MlflowClient") -> dict[str, str]:
    """Return alias -> version; empty where the model is not registered yet."""
    found = client.search_registered_models(f"name = '{REGISTERED_MODEL}'")
    return {alias: str(version) for model in found for alias, version in model.aliases.items()}


def _report_of(run_id: str) -> EvalReport:
    try:
        return EvalReport.model_validate_json(_download(f"runs:/{run_id}/{REPORT}"))
    except ValidationError as error:
        raise InputError(
            f"run {run_id}: {REPORT} is not a report of this version: {first_line(error)}"
        ) from error


@contextmanager
def _asking(what: str) -> "Iterator[MlflowClient]":
    """Hand out a client; what MLflow does not have is bad input."""
    import mlflow

    # MLflow would draw a bar for every small file it fetches.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    open_store()
    try:
        yield mlflow.MlflowClient()
    except (mlflow.MlflowException, OSError) as error:
        raise InputError(
            without_password(
                f"MLflow has no usable {what} in {mlflow.get_tracking_uri()}: {first_line(error)}; "
            )
            + "check the id and MLFLOW_TRACKING_URI"
        ) from error


def _download(uri: str) -> bytes:
    """Fetch one artifact."""
    with tempfile.TemporaryDirectory(prefix="vmaf-train-") as folder, _asking(uri):
        import mlflow

        # With a folder of its own, or a local store would hand out its own files.
        return Path(
            mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder)
        ).read_bytes()


def _download_onnx(model: str) -> bytes:
    """Fetch the one .onnx file of a run or below an MLflow artifact address."""
    with tempfile.TemporaryDirectory(prefix="vmaf-train-") as folder, _asking(model):
        import mlflow

        addresses = [model]
        if RUN_ID.fullmatch(model):
            names = [entry.path for entry in mlflow.artifacts.list_artifacts(run_id=model)]
            addresses = [f"runs:/{model}/{name}" for name in names if name.endswith(".onnx")]
        for address in addresses:
            mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=folder)
        contents = {file.name: file.read_bytes() for file in sorted(Path(folder).rglob("*.onnx"))}
    if len(contents) != 1:
        found = ", ".join(contents) or "none"
        raise InputError(
            f"{model} should hold one ONNX model and holds {found}; pass the path of one .onnx file"
        )
    return next(iter(contents.values()))
