"""The contract of the files in model/tiny/: what is shipped, sidecar, index, report, model card.

Every function here is pure: it neither reads nor writes disk or MLflow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from vmaf_train.contracts import Contract
from vmaf_train.feature_names import parse_feature
from vmaf_train.features import CANONICAL, EXAMPLE, MOTION_EXTRACTOR, set_of
from vmaf_train.judging.evaluation import targets_of
from vmaf_train.judging.report import REPORT, EvalReport
from vmaf_train.onnx_file.contract import INPUT, OPSET, OUTPUT
from vmaf_train.onnx_file.expected_error import StatedInterval, expected_error_of
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.shipping.libvmaf_model import (
    SUFFIX,
    LibvmafModel,
    libvmaf_model_of,
    runs_in_libvmaf,
)
from vmaf_train.students.settings import HYBRID, MOS, TEACHER
from vmaf_train.teacher.teachers import DEFAULT_TEACHER, find_teacher
from vmaf_train.templates import template

LICENSE = "BSD-2-Clause-Patent"
INDEX = "registry.json"

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*\.onnx$")]
LibvmafFileName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*\.libvmaf\.json$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
RunId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
# Strict: true is no number.
Correlation = Annotated[float, Field(ge=-1.0000001, le=1.0000001, strict=True)]
Error = Annotated[float, Field(ge=0, strict=True)]
Opset = Annotated[int, Field(ge=7, le=21)]


@dataclass(frozen=True)
class ShippedModel:
    """A place in model/tiny/ for one student.

    Attributes:
        id: names its files, e.g. <id>.onnx.
        alias: alias of the registered model; it names the version that fills the place.
        arch, features: the architecture and the feature set that the student must have; an arch of
            None is any that is shipped in another place.
        description: one line, in the index and on the model card.
        teacher: name of the teacher whose frame scores the student is judged on.
        targets: what the student must have learnt, one of these.
    """

    id: str
    alias: str
    arch: str | None
    features: str
    description: str
    teacher: str = DEFAULT_TEACHER.name
    targets: tuple[str, ...] = (TEACHER,)

    def takes(self, arch: str | None, features: str | None, teacher: str, targets: str) -> bool:
        """Tell whether the place is for such students."""
        of_kind = (self.features, self.teacher) == (features, teacher) and targets in self.targets
        return of_kind and (arch == self.arch if self.arch else arch in SHIPPED_ARCHS)


SHIPPED = (
    ShippedModel(
        id="vmaf_tiny_v1",
        alias="default",
        arch="mlp_small",
        features="canonical",
        description="VMAF fusion distilled into 257 parameters",
    ),
    ShippedModel(
        id="vmaf_tiny_v1_medium",
        alias="medium",
        arch="mlp_medium",
        features="canonical",
        description="VMAF fusion distilled into 2,561 parameters",
    ),
    ShippedModel(
        id="vmaf_tiny_exact",
        alias="exact",
        arch="quintic",
        features="canonical",
        description="VMAF fusion as a polynomial of degree five",
    ),
    ShippedModel(
        id="vmaf_tiny_lite",
        alias="lite",
        arch="quartic",
        features="lite",
        description="VMAF without the finest scale of VIF, learnt from real content",
    ),
    ShippedModel(
        id="vmaf_tiny_neg",
        alias="neg",
        arch=None,
        features="canonical",
        description="VMAF NEG, which gives enhancement no gain",
        teacher="vmaf_v0.6.1neg",
    ),
    ShippedModel(
        id="vmaf_tiny_4k",
        alias="4k",
        arch=None,
        features="canonical",
        description="VMAF for 4K television",
        teacher="vmaf_4k_v0.6.1",
    ),
    ShippedModel(
        id="vmaf_v1_tiny",
        # MLflow reserves "v1" and its like for versions.
        alias="vmaf-v1",
        arch=None,
        features="canonical",
        description="VMAF v1 for 1080p",
        teacher="vmaf_v1.0.16_3d0h",
    ),
    # Empty until someone who has opinion scores fills it.
    ShippedModel(
        id="vmaf_tiny_mos",
        alias="mos",
        arch=None,
        features="canonical",
        description="Opinion scores of clips, learnt through the pooling of frame scores",
        targets=(MOS, HYBRID),
    ),
)
SHIPPED_ARCHS = frozenset(row.arch for row in SHIPPED if row.arch)


@dataclass(frozen=True)
class Promoted:
    """A student that fills a place.

    Attributes:
        student: the loaded ONNX file.
        report: evaluation on the held-out source, from the training run.
        run_id: id of the training run.
        git_commit: commit of the code that trained it.
        version: version of the registered model; None for a student that was read from the tree.
        with_libvmaf: whether libvmaf's model file belongs to its files, if libvmaf can hold the
            student; older trees have none.
    """

    student: OnnxStudent
    report: EvalReport
    run_id: str
    git_commit: str
    version: str | None = None
    with_libvmaf: bool = True

    @property
    def name(self) -> str:
        """The student in words, for people."""
        return f"version {self.version}" if self.version else "the student in the tree"

    @property
    def libvmaf_model(self) -> LibvmafModel | None:
        """libvmaf's model file of the student, if its files have one.

        Raises:
            InputError: the file is not what its metadata says.
        """
        if not self.with_libvmaf or not runs_in_libvmaf(self.student):
            return None
        return libvmaf_model_of(self.student, f"the student of run {self.run_id}")


class SidecarMetrics(Contract):
    """Frame metrics on the held-out source."""

    n_samples: Annotated[int, Field(ge=1, strict=True)]
    plcc: Correlation
    srocc: Correlation
    krocc: Correlation
    rmse: Error
    max_abs_error: Error
    bias: Annotated[float, Field(strict=True)]


class SidecarInterval(StatedInterval):
    """The interval for the pooled error on a new source, and the limit of the guard.

    `outside_threshold` is the distance beyond which a frame lies outside what the student learnt;
    the metadata of the ONNX file says how the distance is computed.
    """

    outside_threshold: float


class Sidecar(Contract):
    """`<id>.json`, beside `<id>.onnx`; the runtime inside libvmaf reads the first five keys."""

    name: Id
    kind: Literal["fr"] = "fr"
    input_name: str = INPUT
    output_name: str = OUTPUT
    onnx_opset: Opset = OPSET
    id: Id
    onnx: FileName
    opset: Opset = OPSET
    sha256: Sha256
    input_shape: tuple[Literal["N"], int]
    output_shape: tuple[Literal["N"]] = ("N",)
    features: tuple[str, ...]
    onnx_has_scaler: Literal[True] = True
    teacher: str
    libvmaf_version: str
    targets_source: str
    val_source: str
    metrics: SidecarMetrics
    mlflow_run_id: RunId
    git_commit: str
    license: str = LICENSE
    notes: str
    # Old sidecars lack these two keys; they are all canonical.
    feature_set: str = CANONICAL.name
    libvmaf_features: str = CANONICAL.extraction
    # Students that state no error lack this key.
    interval: SidecarInterval | None = None
    # Not written for a student that libvmaf cannot hold; older sidecars lack these keys too.
    libvmaf_json: LibvmafFileName | None = None
    libvmaf_json_sha256: Sha256 | None = None
    libvmaf_json_max_error: float | None = None


class IndexEntry(Contract):
    """One shipped model in `registry.json`."""

    id: Id
    kind: Literal["fr"] = "fr"
    onnx: FileName
    sha256: Sha256
    opset: Opset | None = None
    license: str | None = None
    license_url: str | None = None
    description: Annotated[str, Field(max_length=256)] | None = None
    notes: Annotated[str, Field(max_length=512)] | None = None


class Index(Contract):
    """`registry.json`: the list of the models in model/tiny/."""

    schema_version: Literal[1] = 1
    models: tuple[IndexEntry, ...]


def place_of(
    arch: str | None, features: str | None, teacher: str, targets: str = TEACHER
) -> ShippedModel | None:
    """Return the place for students of this kind; None if none ships."""
    return next((row for row in SHIPPED if row.takes(arch, features, teacher, targets)), None)


def sidecar_of(row: ShippedModel, promoted: Promoted) -> Sidecar:
    """Return the sidecar of a student in a place.

    Raises:
        pydantic.ValidationError: the report lacks a correlation, or an id is malformed.
        InputError: see `Promoted.libvmaf_model`.
    """
    student, report = promoted.student, promoted.report
    corpus = student.facts.get("corpus")
    metrics = {key: getattr(report, key) for key in SidecarMetrics.model_fields}
    model = promoted.libvmaf_model
    return Sidecar(
        name=row.id,
        id=row.id,
        onnx=f"{row.id}.onnx",
        sha256=student.sha256,
        input_shape=("N", len(student.features)),
        features=student.features,
        teacher=report.teacher,
        libvmaf_version=report.libvmaf_version or "none",
        targets_source=_targets_source(student, report, corpus),
        val_source=report.hold_out or "none",
        metrics=SidecarMetrics.model_validate(metrics),
        mlflow_run_id=promoted.run_id,
        git_commit=promoted.git_commit,
        notes=_notes_of(student.facts),
        feature_set=row.features,
        libvmaf_features=set_of(student.features).extraction,
        libvmaf_json=f"{row.id}{SUFFIX}" if model else None,
        libvmaf_json_sha256=OnnxStudent.hash_of(model.content) if model else None,
        libvmaf_json_max_error=model.max_error if model else None,
        interval=_interval_of(student, row.id),
    )


def _targets_source(student: OnnxStudent, report: EvalReport, corpus: object) -> str:
    of_teacher = f"{report.teacher} frame scores from libvmaf on corpus {corpus}"
    if (targets := targets_of(student)) == TEACHER:
        return of_teacher
    facts = student.facts
    rated = f"{facts.get('opinion_scores')} of {facts.get('scored_clips')} clips of {corpus}"
    return f"opinion scores {rated}" + (f" and {of_teacher}" if targets == HYBRID else "")


def files_of(row: ShippedModel, promoted: Promoted) -> dict[str, bytes]:
    """Return the files of a student by path below model/tiny/: model, sidecar, report.

    If libvmaf can hold the student, its model file for libvmaf is one of them.

    Raises:
        pydantic.ValidationError: see `sidecar_of`.
        InputError: see `Promoted.libvmaf_model`.
    """
    sidecar, model = sidecar_of(row, promoted), promoted.libvmaf_model
    files = {
        sidecar.onnx: promoted.student.content,
        f"{row.id}.json": _json(sidecar, exclude_none=True),
        # An old report keeps its bytes: fields that it does not have are not written.
        report_name(sidecar): _json(promoted.report, exclude_unset=True),
    }
    return {**files, f"{row.id}{SUFFIX}": model.content} if model else files


def report_name(sidecar: Sidecar) -> str:
    """Return the path of a model's report below model/tiny/."""
    return f"training_runs/{sidecar.mlflow_run_id}/{REPORT}"


def index_of(sidecars: Mapping[str, Sidecar], others: Sequence[IndexEntry]) -> bytes:
    """Return `registry.json`.

    Args:
        sidecars: the sidecar of each shipped model, by its id.
        others: entries of other models; they come last, unchanged.
    """
    shipped = [
        IndexEntry(
            id=row.id,
            onnx=sidecars[row.id].onnx,
            sha256=sidecars[row.id].sha256,
            opset=sidecars[row.id].opset,
            license=sidecars[row.id].license,
            description=row.description,
        )
        for row in SHIPPED
        if row.id in sidecars
    ]
    return _json(Index(models=(*shipped, *others)), exclude_none=True)


def card_of(row: ShippedModel, sidecar: Sidecar, report: EvalReport, student: OnnxStudent) -> bytes:
    """Return the model card as Markdown; every fact in it comes from the files."""
    features = [parse_feature(name) for name in sidecar.features]
    page = template("vmaf_train.shipping", "model_card.md.j2").render(
        row=row,
        sidecar=sidecar,
        report=report,
        facts=student.facts,
        example=[EXAMPLE[feature.stem] for feature in features],
        looks_ahead=[each.name for each in features if each.extractor == MOTION_EXTRACTOR],
        cost=set_of(sidecar.features).cost,
        missing=find_teacher(sidecar.teacher).missing_from(sidecar.features),
        teacher=find_teacher(sidecar.teacher),
        rated=targets_of(student) != TEACHER,
        opinions=report.opinions,
    )
    return page.encode()


def _interval_of(student: OnnxStudent, name: str) -> SidecarInterval | None:
    """Return what the ONNX file states about its error; None if it states nothing."""
    expected = expected_error_of(student, name)
    if expected is None:
        return None
    stated = expected.interval.model_dump()
    return SidecarInterval(**stated, outside_threshold=expected.familiar.limit)


def _notes_of(facts: Mapping[str, object]) -> str:
    notes = (
        f"{facts.get('arch')}, trained on {facts.get('train_frames')} frames "
        f"of corpus {facts.get('corpus')}"
    )
    if points := facts.get("teacher_points"):
        notes += f" and {points} feature vectors labelled by the teacher"
    return notes


def _json(content: BaseModel, *, exclude_none: bool = False, exclude_unset: bool = False) -> bytes:
    text = content.model_dump_json(indent=2, exclude_none=exclude_none, exclude_unset=exclude_unset)
    return f"{text}\n".encode()
