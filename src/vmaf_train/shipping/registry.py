"""The MLflow model registry: versions of `vmaf_tiny`, and the aliases that name what is shipped."""

import json
from collections.abc import Callable, Mapping

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from vmaf_train.errors import InputError, VmafTrainError
from vmaf_train.features import CANONICAL
from vmaf_train.judging.evaluation import targets_of
from vmaf_train.onnx_file.outside import student_from_outside
from vmaf_train.shipping.candidate import Candidate
from vmaf_train.shipping.fetching import asking, download_onnx, report_of
from vmaf_train.shipping.finding import RUN_ID
from vmaf_train.shipping.in_tree import SHIPPED, Promoted, ShippedModel, place_of
from vmaf_train.students.settings import TEACHER
from vmaf_train.teacher.teachers import DEFAULT_TEACHER
from vmaf_train.tracking.store import store_lock

REGISTERED_MODEL = "vmaf_tiny"
# Metrics of the report that become tags of a version.
VAL_METRICS = ("n_samples", "plcc", "srocc", "krocc", "rmse")


def promote(candidate: Candidate, place: ShippedModel) -> str:
    """Point the alias of a place at a candidate; return the version that the alias now names.

    If the file is already registered, its version is used again.

    Raises:
        InputError: the registry cannot be used.
    """
    with (
        store_lock(mlflow.get_registry_uri()),
        asking(f"registered model {REGISTERED_MODEL}") as client,
    ):
        version = _version_of(client, candidate.student.sha256) or _register(
            candidate.model_id, _tags_of(candidate)
        )
        if _aliases(client).get(place.alias) != version:
            client.set_registered_model_alias(REGISTERED_MODEL, place.alias, version)
    return version


def point_back(version: str) -> ShippedModel:
    """Point an alias at an older version; return the place whose alias moved.

    Raises:
        InputError: there is no such version, or it has no place in model/tiny/.
        VmafTrainError: its file, its report and its tags do not agree.
    """
    with (
        store_lock(mlflow.get_registry_uri()),
        asking(f"{REGISTERED_MODEL} version {version}") as client,
    ):
        tags = client.get_model_version(REGISTERED_MODEL, version).tags
        # Old versions lack these tags; they are all canonical.
        features = tags.get("features", CANONICAL.name)
        teacher = tags.get("teacher", DEFAULT_TEACHER.name)
        place = place_of(tags.get("arch"), features, teacher, tags.get("targets", TEACHER))
        if place is None:
            raise InputError(
                f"version {version} of {REGISTERED_MODEL} has no place in model/tiny/; "
                "pass another version"
            )
        # Check the file first: a changed one must not be shipped again.
        fetch(version)
        client.set_registered_model_alias(REGISTERED_MODEL, place.alias, version)
    return place


def adopt(place: ShippedModel, promoted: Promoted, log: Callable[[], str]) -> str:
    """Point the alias of a place at a student of the tree; return the version.

    If the file is already registered, its version is used again.

    Args:
        place: its place.
        promoted: the student, with the run and the commit that the tree states.
        log: logs its file as an MLflow model and returns the id; called only if it is needed.

    Raises:
        InputError: the registry cannot be used.
    """
    facts = {
        "run_id": promoted.run_id,
        "features": place.features,
        "targets": targets_of(promoted.student),
        "git_commit": promoted.git_commit,
    }
    with (
        store_lock(mlflow.get_registry_uri()),
        asking(f"registered model {REGISTERED_MODEL}") as client,
    ):
        version = _version_of(client, promoted.student.sha256)
        version = version or _register(log(), _as_tags(promoted, facts))
        client.set_registered_model_alias(REGISTERED_MODEL, place.alias, version)
    return version


def version_at(alias: str) -> str | None:
    """Return the version that an alias names; None if there is no such alias."""
    with asking(f"registered model {REGISTERED_MODEL}") as client:
        return _aliases(client).get(alias)


def promoted_students() -> dict[str, Promoted]:
    """Return the student that each alias of SHIPPED names, by alias; other aliases are ignored.

    Raises:
        VmafTrainError: the file, the report and the tags of a version do not agree.
    """
    with asking(f"registered model {REGISTERED_MODEL}") as client:
        aliases = _aliases(client)
    return {row.alias: fetch(aliases[row.alias]) for row in SHIPPED if row.alias in aliases}


def fetch(version: str) -> Promoted:
    """Download a version and check it against its tags.

    Raises:
        InputError: there is no such version, or its run has no report.
        VmafTrainError: its file, its report and its tags do not agree.
    """
    name = f"version {version} of {REGISTERED_MODEL}"
    with asking(f"{REGISTERED_MODEL} version {version}") as client:
        registered = client.get_model_version(REGISTERED_MODEL, version)
    run_id = registered.run_id
    # The run id becomes part of a path in model/tiny/.
    if run_id is None or not RUN_ID.fullmatch(run_id):
        raise VmafTrainError(
            f"{name} names run {run_id!r}, which is not a run id; register the run again"
        )
    onnx = download_onnx(f"models:/{REGISTERED_MODEL}/{version}")
    student = student_from_outside(onnx, f"version {version}")
    report = report_of(run_id)
    wanted = registered.tags.get("sha256", "none")
    found = {"file": student.sha256, "report": report.model.onnx_sha256}
    for kind, sha256 in found.items():
        if sha256 != wanted:
            raise VmafTrainError(
                f"{name}: the {kind} has sha256 {sha256}, its tag says {wanted}; "
                "nothing was written. "
                "Register the run again, or point the alias at another version"
            )
    commit = registered.tags.get("git_commit", "unknown")
    # The run that trained it; an adopted version was logged by another.
    origin = registered.tags.get("run_id", run_id)
    if not RUN_ID.fullmatch(origin):
        raise VmafTrainError(f"{name} says run {origin!r}, which is not a run id; adopt it again")
    return Promoted(student, report, run_id=origin, git_commit=commit, version=str(version))


def _version_of(client: MlflowClient, sha256: str) -> str | None:
    """Return the oldest version of a file; None if the file is not registered."""
    versions = client.search_model_versions(f"name = '{REGISTERED_MODEL}'")
    same = [int(version.version) for version in versions if version.tags.get("sha256") == sha256]
    return str(min(same)) if same else None


def _aliases(client: MlflowClient) -> dict[str, str]:
    """Return the version of each alias; empty if the model is not registered yet."""
    found = client.search_registered_models(f"name = '{REGISTERED_MODEL}'")
    return {alias: str(version) for model in found for alias, version in model.aliases.items()}


def _register(model_id: str, tags: Mapping[str, str]) -> str:
    uri = f"models:/{model_id}"
    version: ModelVersion = mlflow.register_model(uri, REGISTERED_MODEL, tags=dict(tags))
    return str(version.version)


def _tags_of(candidate: Candidate) -> dict[str, str]:
    facts = {
        "run_id": candidate.run_id,
        "features": candidate.feature_set,
        "dataset_digest": candidate.tags.get("dataset_digest"),
        "targets": candidate.targets,
        "git_commit": candidate.tags.get("git_commit"),
    }
    return _as_tags(candidate, facts)


def _as_tags(judged: Candidate | Promoted, facts: Mapping[str, object]) -> dict[str, str]:
    """Return facts as tags, with those of the student and the figures of its report."""
    report = judged.report
    every = {
        **facts,
        "arch": report.model.arch,
        "sha256": judged.student.sha256,
        "teacher": report.teacher,
        "hold_out": report.hold_out,
        **{f"val_{key}": getattr(report, key) for key in VAL_METRICS},
    }
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in every.items()
    }
