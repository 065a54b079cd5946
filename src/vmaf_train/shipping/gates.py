"""The gates: the conditions for registering a student. All metrics are of held-out frames.

A new gate is one function and one row in GATES.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from vmaf_train.clips.demo import make_demo_pair
from vmaf_train.errors import VmafTrainError
from vmaf_train.extraction.libvmaf import find_ffmpeg, score_with
from vmaf_train.features import OTHER, set_of
from vmaf_train.files import temporary_folder
from vmaf_train.frames.table import rated_clips
from vmaf_train.judging.agreement import compare
from vmaf_train.judging.evaluation import box_errors, pool, score_table, targets_of
from vmaf_train.judging.opinion_report import STUDENT
from vmaf_train.judging.report import Metrics
from vmaf_train.onnx_file.contract import check_contract
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.shipping import registry
from vmaf_train.shipping.candidate import Candidate
from vmaf_train.shipping.in_tree import Promoted
from vmaf_train.shipping.libvmaf_model import libvmaf_model_of, runs_in_libvmaf
from vmaf_train.students.settings import TEACHER
from vmaf_train.teacher.teachers import find_teacher

# Largest difference between two scores, or two RMSEs, that count as the same.
SAME_SCORE = 1e-4
# Largest difference between libvmaf's score and that of the ONNX file. libvmaf's log has six
# decimals of each feature, and onnxruntime has the precision of float32.
SAME_SCORE_IN_LIBVMAF = 1e-3
# A search may find a little more on another machine than the report says.
SAME_BOX = 1.05
BOX_FIGURES = ("rmse", "max_abs_error", "worst_found", "proven")
CORRELATIONS = ("plcc", "srocc", "krocc")


@dataclass(frozen=True)
class Gate:
    """The result of a gate: its name, whether the candidate passed, and the fact that decided."""

    name: str
    passed: bool
    fact: str


@dataclass(frozen=True)
class Outcome:
    """The result of a gate's function: whether the candidate passed, and the fact that decided."""

    passed: bool
    fact: str


@dataclass(frozen=True)
class Allowed:
    """Exceptions that the user allows.

    Attributes:
        worse: let a student pass that is worse than the holder of its alias.
        dirty: let a student pass that was trained from a checkout with uncommitted changes.
    """

    worse: bool
    dirty: bool


def judge(candidate: Candidate, *, allow_worse: bool, allow_dirty: bool) -> list[Gate]:
    """Run every gate that applies to a candidate; return them in the order of GATES.

    Args:
        candidate: the result of `find_candidate`.
        allow_worse, allow_dirty: see `Allowed`.
    """
    allowed = Allowed(worse=allow_worse, dirty=allow_dirty)
    outcomes = {name: check(candidate, allowed) for name, check in GATES.items()}
    return [Gate(name, found.passed, found.fact) for name, found in outcomes.items() if found]


def finished_run(candidate: Candidate, allowed: Allowed) -> Outcome:
    """Pass a run that finished and was no smoke run."""
    smoke = candidate.tags.get("smoke", "unknown")
    fact = f"{candidate.status}, smoke {smoke}"
    return Outcome(candidate.status == "FINISHED" and smoke == "false", fact)


def enough_to_judge(candidate: Candidate, allowed: Allowed) -> Outcome:
    """Pass a report in which all correlations are defined: per frame, per clip, and with opinions.

    Only students of opinion scores need the last ones.
    """
    report = candidate.report
    judged = (report, report.pooled)
    correlations = [getattr(metrics, key) for metrics in judged for key in CORRELATIONS]
    fact = f"{report.n_samples} frames of {len(report.per_clip)} clips"
    if candidate.targets != TEACHER:
        opinions = report.opinions
        rated = opinions.figures[STUDENT] if opinions else None
        correlations += [getattr(rated, key, None) for key in CORRELATIONS]
        fact += f", {opinions.clips if opinions else 0} clips with an opinion score"
    return Outcome(None not in correlations, fact)


def shipped_arch(candidate: Candidate, allowed: Allowed) -> Outcome:
    """Pass an arch, a feature set and a teacher that have a place in model/tiny/."""
    fact = f"{candidate.report.model.arch} on features {candidate.feature_set}"
    if candidate.targets != candidate.report.targets:
        return Outcome(False, f"the file learnt {candidate.targets}, the report says otherwise")
    if candidate.targets != TEACHER:
        fact += f", targets {candidate.targets}"
    if candidate.place is None:
        return Outcome(False, f"{fact}: never shipped for {candidate.report.teacher}")
    return Outcome(True, fact)


def model_contract(candidate: Candidate, allowed: Allowed) -> Outcome:
    """Pass an ONNX file that keeps the model contract."""
    content = candidate.student.content
    try:
        check_contract(content)
    except VmafTrainError as error:
        return Outcome(False, str(error))
    return Outcome(True, f"{len(content)} bytes, one file")


def one_file(candidate: Candidate, allowed: Allowed) -> Outcome:
    """Pass if the logged file, the report and the run's tag have the same SHA-256."""
    hashes = {
        candidate.student.sha256,
        candidate.report.model.onnx_sha256,
        candidate.tags.get("onnx_sha256", "none"),
    }
    fact = f"sha256 {', '.join(sorted(sha256[:12] for sha256 in hashes))}"
    return Outcome(len(hashes) == 1, fact)


def facts_agree(candidate: Candidate, allowed: Allowed) -> Outcome:
    """Pass if the ONNX file says of itself what the report says of it."""
    report = candidate.report
    said = {
        "arch": report.model.arch,
        "features": list(report.model.features),
        "parameters": report.model.parameters,
        "teacher": report.teacher,
        "libvmaf_version": report.libvmaf_version,
        "hold_out": report.hold_out,
        "targets": report.targets,
    }
    # Only students of opinion scores state their targets.
    own = {"targets": candidate.targets, **candidate.student.facts}
    differs = [
        f"{name} {own.get(name)}, not {value}"
        for name, value in said.items()
        if own.get(name) != value
    ]
    return Outcome(not differs, f"the file says {'; '.join(differs) or 'the same'}")


def report_reproduced(candidate: Candidate, allowed: Allowed) -> Outcome:
    """Pass if scoring the logged frames again gives the logged scores and the report's metrics."""
    table, report = candidate.held_out, candidate.report
    if table.digest != report.dataset.digest:
        return Outcome(False, "the logged held-out frames are not those of the report")
    again_N = score_table(candidate.student, table)
    off = float(np.abs(again_N - candidate.score_N).max())
    again = {
        "frames": (compare(again_N, table.y_N), report),
        "pooled": (compare(pool(again_N, table), pool(table.y_N, table)), report.pooled),
    }
    differs = [
        f"{what} {key} {getattr(said, key)}, again {getattr(found, key)}"
        for what, (found, said) in again.items()
        for key in Metrics.model_fields
        if not _same(getattr(found, key), getattr(said, key))
    ]
    if differs:
        return Outcome(False, f"the report is not of these frames: {'; '.join(differs)}")
    fact = f"scores within {off:.1e}, the same metrics on {len(table)} frames"
    return Outcome(off <= SAME_SCORE, fact)


def box_reproduced(candidate: Candidate, allowed: Allowed) -> Outcome | None:
    """Pass if the errors over the feature box are not above what the report says."""
    said = candidate.report.box
    if said is None:
        return None
    found = box_errors(candidate.student, find_teacher(candidate.report.teacher))
    if found is None:
        return Outcome(False, "the report has errors over a box that this student does not have")
    pairs = {key: (getattr(said, key), getattr(found, key)) for key in BOX_FIGURES}
    low = [
        f"{key} {old:.3f}, again {new:.3f}"
        for key, (old, new) in pairs.items()
        # Older reports lack some.
        if old is not None and new is not None and new > SAME_BOX * old
    ]
    if low:
        return Outcome(False, f"the report states too little: {', '.join(low)}")
    proven = "" if found.proven is None else f", proven {found.proven:.3f}"
    return Outcome(True, f"largest error found {found.worst_found:.3f}{proven}")


def runs_in_stock_libvmaf(candidate: Candidate, allowed: Allowed) -> Outcome | None:
    """Pass if libvmaf, given the student's model file, scores a demo pair like the ONNX file.

    It does not apply to a student that libvmaf cannot hold.

    Raises:
        InputError: there is no ffmpeg with libvmaf.
    """
    student, features = candidate.student, set_of(candidate.student.features)
    if features.name == OTHER or not runs_in_libvmaf(student):
        return None
    ffmpeg = find_ffmpeg()
    try:
        model = libvmaf_model_of(student, f"the model of run {candidate.run_id}")
        with temporary_folder() as folder:
            ref, dis = make_demo_pair(folder, ffmpeg.path)
            score_N = score_with(model.content, ref, dis, ffmpeg, threads=0)
            x_NF, _ = ffmpeg.features(ref, dis, features, threads=0)
    except VmafTrainError as error:
        return Outcome(False, str(error))
    off = float(np.abs(score_N - student.score(x_NF)).max())
    fact = f"frame scores within {off:.1e} on {len(score_N)} frames of the demo"
    return Outcome(off <= SAME_SCORE_IN_LIBVMAF, fact)


def not_worse(candidate: Candidate, allowed: Allowed) -> Outcome | None:
    """Pass a candidate that is no worse than the student that it replaces; needs a place.

    That is the holder of its alias; or what the tree ships, if the alias names nothing.
    """
    if candidate.place is None:
        return None
    version = registry.version_at(candidate.place.alias)
    try:
        holder = registry.fetch(version) if version else candidate.shipped
    except VmafTrainError as error:
        fact = f"version {version} cannot be read: {error}"
        return _unless_allowed(fact, holds=False, allow=allowed.worse)
    if holder is None:
        return Outcome(True, "nothing holds the alias yet, and the tree ships nothing there")
    if holder.student.sha256 == candidate.student.sha256:
        return Outcome(True, f"{holder.name} is this student already")
    return compare_with_holder(candidate, holder, allow_worse=allowed.worse)


def compare_with_holder(candidate: Candidate, holder: Promoted, *, allow_worse: bool) -> Outcome:
    """Compare RMSE and PLCC with the holder's on the candidate's held-out frames.

    Students of opinion scores are compared by RMSE and SROCC on the held-out clips that have one.

    If the holder was trained on the held-out source, the two cannot be compared: the gate refuses.
    """
    hold_out = candidate.report.hold_out
    trained_on = holder.student.facts.get("train_sources")
    if not isinstance(trained_on, list) or hold_out in trained_on:
        fact = f"{holder.name} was trained on {hold_out}, so the two cannot be compared on it"
        return _unless_allowed(fact, holds=False, allow=allow_worse)
    rated = candidate.targets != TEACHER
    if rated != (targets_of(holder.student) != TEACHER):
        fact = f"{holder.name} learnt something else, so the two are never compared"
        return Outcome(False, fact)
    ours, theirs = _metrics(candidate.student, candidate), _metrics(holder.student, candidate)
    name, figure = ("SROCC", "srocc") if rated else ("PLCC", "plcc")
    # A constant score has no correlation.
    own, other = getattr(ours, figure) or 0, getattr(theirs, figure) or 0
    against = " of opinion scores" if rated else ""
    fact = (
        f"RMSE {ours.rmse:.4f} against {theirs.rmse:.4f}, "
        f"{name} {own:.6f} against {other:.6f} of {holder.name}{against}"
    )
    holds = ours.rmse <= theirs.rmse and own >= other
    return _unless_allowed(fact, holds=holds, allow=allow_worse)


def clean_checkout(candidate: Candidate, allowed: Allowed) -> Outcome:
    """Pass a student that was trained from committed code."""
    dirty = candidate.tags.get("git_dirty", "unknown")
    return _unless_allowed(f"dirty {dirty}", holds=dirty == "false", allow=allowed.dirty)


def _metrics(student: OnnxStudent, candidate: Candidate) -> Metrics:
    """Return metrics of the held-out frames; of the rated clips for a student of opinions."""
    held_out = candidate.held_out
    score_N = score_table(student, held_out)
    if candidate.targets == TEACHER:
        return compare(score_N, held_out.y_N)
    rated = rated_clips(held_out)
    assert held_out.mos_C is not None
    return compare(pool(score_N, held_out)[rated], held_out.mos_C[rated])


def _same(found: float | None, said: float | None) -> bool:
    """Tell whether two figures are the same; a correlation can be missing."""
    if found is None or said is None:
        return found is said
    return abs(found - said) <= SAME_SCORE


def _unless_allowed(fact: str, *, holds: bool, allow: bool) -> Outcome:
    return Outcome(holds or allow, f"{fact}, allowed" if allow else fact)


# A function returns None if its gate does not apply to the candidate.
GATES: Mapping[str, Callable[[Candidate, Allowed], Outcome | None]] = {
    "finished run": finished_run,
    "enough to judge": enough_to_judge,
    "shipped arch": shipped_arch,
    "model contract": model_contract,
    "one file everywhere": one_file,
    "facts agree": facts_agree,
    "report reproduced": report_reproduced,
    "box reproduced": box_reproduced,
    "runs in libvmaf": runs_in_stock_libvmaf,
    "not worse": not_worse,
    "clean checkout": clean_checkout,
}
