"""What each command gives back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmaf_train.clips.layout import Scan
    from vmaf_train.judging.comparison import Comparison
    from vmaf_train.judging.evaluation import EvalReport
    from vmaf_train.onnx_file.inference import OnnxStudent
    from vmaf_train.shipping.gates import Gate


@dataclass(frozen=True)
class Prewarmed:
    """What a prewarm did."""

    scan: "Scan"
    extracted: int
    frames: int
    seconds: float
    cache: Path


@dataclass(frozen=True)
class Evaluated:
    """A report, and lines that lead to its run."""

    report: "EvalReport"
    where: Sequence[str]


@dataclass(frozen=True)
class Trained(Evaluated):
    """The report on the held-out source and the student's ONNX bytes."""

    student: "OnnxStudent"


@dataclass(frozen=True)
class Swept:
    """A sweep's comparison, and lines that lead to its runs."""

    comparison: "Comparison"
    where: Sequence[str]


@dataclass(frozen=True)
class Registered:
    """What a promotion did: the gates it passed, the version its alias names, the files that changed."""

    gates: "Sequence[Gate]"
    version: str
    alias: str
    changed: Sequence[str]
