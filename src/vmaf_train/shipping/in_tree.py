"""The in-tree contract: which students are shipped, their sidecar, the index beside them, and their model card.

Everything here is a pure function of a promoted student; nothing is read from or written to disk or MLflow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from vmaf_train.features import CANONICAL, EXAMPLE, FEATURE_SETS
from vmaf_train.judging.evaluation import EvalReport
from vmaf_train.onnx_file.contract import INPUT, OPSET, OUTPUT
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.teacher.svr import missing_of

LICENSE = "BSD-2-Clause-Patent"
INDEX = "registry.json"
REPORT = "eval_report.json"

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*\.onnx$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
RunId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


@dataclass(frozen=True)
class ShippedModel:
    """A place in model/tiny/: the id its files carry, the registry alias that fills it, and what student may."""

    id: str
    alias: str
    arch: str
    features: str
    description: str


SHIPPED = (
    ShippedModel(
        "vmaf_tiny_v1",
        "default",
        "mlp_small",
        "canonical",
        "VMAF fusion distilled into 257 parameters",
    ),
    ShippedModel(
        "vmaf_tiny_v1_medium",
        "medium",
        "mlp_medium",
        "canonical",
        "VMAF fusion distilled into 2,561 parameters",
    ),
    ShippedModel(
        "vmaf_tiny_exact",
        "exact",
        "quintic",
        "canonical",
        "VMAF fusion as a polynomial of degree five",
    ),
    ShippedModel(
        "vmaf_tiny_lite", "lite", "quintic", "lite", "VMAF without the finest scale of VIF"
    ),
    ShippedModel(
        "vmaf_tiny_fast",
        "fast",
        "mlp_small",
        "fast",
        "VMAF estimated from ADM and motion, without VIF",
    ),
)


@dataclass(frozen=True)
class Promoted:
    """A student that an alias names: its file, the report of its run, and where both came from."""

    student: OnnxStudent
    report: EvalReport
    run_id: str
    git_commit: str
    version: str


class _Contract(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SidecarMetrics(_Contract):
    """Frame metrics on the held-out source."""

    n_samples: int
    plcc: float
    srocc: float
    krocc: float
    rmse: float
    max_abs_error: float
    bias: float


class Sidecar(_Contract):
    """`<id>.json`, beside `<id>.onnx`; the first five keys are what the runtime inside libvmaf reads."""

    name: Id
    kind: Literal["fr"] = "fr"
    input_name: str = INPUT
    output_name: str = OUTPUT
    onnx_opset: Annotated[int, Field(ge=7, le=21)] = OPSET
    id: Id
    onnx: FileName
    opset: Annotated[int, Field(ge=7, le=21)] = OPSET
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
    # Sidecars of before there were other sets do not name theirs.
    feature_set: str = CANONICAL.name
    libvmaf_features: str = CANONICAL.extraction


class IndexEntry(_Contract):
    """One shipped model in `registry.json`."""

    id: Id
    kind: Literal["fr"] = "fr"
    onnx: FileName
    sha256: Sha256
    opset: Annotated[int, Field(ge=7, le=21)] | None = None
    license: str | None = None
    license_url: str | None = None
    description: Annotated[str, Field(max_length=256)] | None = None
    notes: Annotated[str, Field(max_length=512)] | None = None


class Index(_Contract):
    """`registry.json`: what model/tiny/ holds."""

    schema_version: Literal[1] = 1
    models: tuple[IndexEntry, ...]


def place_of(arch: str | None, features: str | None) -> ShippedModel | None:
    """Return the place that students of this arch and feature set fill, or None where none is shipped."""
    return next((row for row in SHIPPED if (row.arch, row.features) == (arch, features)), None)


def files_of(row: ShippedModel, promoted: Promoted) -> dict[str, bytes]:
    """Return the files of a shipped student by name relative to model/tiny/: model, sidecar, report."""
    report = promoted.report
    facts = promoted.student.facts
    sidecar = Sidecar(
        name=row.id,
        id=row.id,
        onnx=f"{row.id}.onnx",
        sha256=promoted.student.sha256,
        input_shape=("N", len(promoted.student.features)),
        features=promoted.student.features,
        teacher=report.teacher,
        libvmaf_version=report.libvmaf_version or "none",
        targets_source=f"{report.teacher} frame scores from libvmaf on corpus {facts.get('corpus')}",
        val_source=report.hold_out or "none",
        metrics=SidecarMetrics.model_validate(
            {key: getattr(report, key) for key in SidecarMetrics.model_fields}
        ),
        mlflow_run_id=promoted.run_id,
        git_commit=promoted.git_commit,
        notes=f"{facts.get('arch')}, trained on {facts.get('train_frames')} frames of corpus {facts.get('corpus')}"
        + (
            f" and {points} feature vectors labelled by the teacher"
            if (points := facts.get("teacher_points"))
            else ""
        ),
        feature_set=row.features,
        libvmaf_features=FEATURE_SETS[row.features].extraction,
    )
    return {
        sidecar.onnx: promoted.student.content,
        f"{row.id}.json": _json(sidecar),
        report_name(sidecar): _json(report),
    }


def report_name(sidecar: Sidecar) -> str:
    """Return the name of the report that a sidecar's model was judged by, relative to model/tiny/."""
    return f"training_runs/{sidecar.mlflow_run_id}/{REPORT}"


def index_of(
    sidecars: Sequence[tuple[ShippedModel, Sidecar]], foreign: Sequence[IndexEntry]
) -> bytes:
    """Return `registry.json` for these shipped models, and entries that are not ours to change."""
    own = [
        IndexEntry(
            id=row.id,
            onnx=sidecar.onnx,
            sha256=sidecar.sha256,
            opset=sidecar.opset,
            license=sidecar.license,
            description=row.description,
        )
        for row, sidecar in sidecars
    ]
    return _json(Index(models=(*own, *foreign)))


def card_of(row: ShippedModel, sidecar: Sidecar, report: EvalReport, student: OnnxStudent) -> bytes:
    """Return the model card of a shipped student as Markdown; nothing in it is typed by hand."""
    environment = Environment(
        loader=PackageLoader("vmaf_train.shipping", ""),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    page = environment.get_template("model_card.md.j2")
    example = [EXAMPLE[name] for name in sidecar.features]
    cost = FEATURE_SETS[row.features].cost
    return page.render(
        row=row,
        sidecar=sidecar,
        report=report,
        facts=student.facts,
        example=example,
        cost=cost,
        missing=missing_of(sidecar.features),
    ).encode()


def _json(content: BaseModel) -> bytes:
    # A report written before a field existed stays as it was written.
    unset = isinstance(content, EvalReport)
    return (
        content.model_dump_json(
            indent=2, exclude_none=isinstance(content, Index), exclude_unset=unset
        )
        + "\n"
    ).encode()
