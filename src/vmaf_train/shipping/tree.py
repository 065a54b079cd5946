"""The shipped models of a checkout: their files, and how these differ from the registry."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from vmaf_train.errors import InputError, VmafTrainError
from vmaf_train.files import read_whole
from vmaf_train.judging.report import EvalReport
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.shipping.in_tree import (
    INDEX,
    SHIPPED,
    IndexEntry,
    Promoted,
    ShippedModel,
    Sidecar,
    card_of,
    files_of,
    index_of,
    report_name,
    sidecar_of,
)
from vmaf_train.shipping.libvmaf_model import SUFFIX


@dataclass(frozen=True, eq=False)
class Held:
    """A place whose files are all there and agree.

    Attributes:
        files: content of the model, the sidecar, the report and, if the sidecar names one, the
            model file for libvmaf, by path below model/tiny/.
        sidecar: the sidecar, parsed.
        promoted: the student that the files are of.
    """

    files: Mapping[str, bytes]
    sidecar: Sidecar
    promoted: Promoted

    @property
    def report(self) -> EvalReport:
        """The report of the evaluation on the held-out source."""
        return self.promoted.report

    @property
    def student(self) -> OnnxStudent:
        """The model, loaded."""
        return self.promoted.student


class Tree:
    """The shipped models of a checkout, read from disk at every call.

    Attributes:
        models: the folder model/tiny/.
        cards: the folder docs/ai/models/.

    Raises:
        InputError: the folder is no checkout of the project.
    """

    def __init__(self, root: Path) -> None:
        if not (root / "model").is_dir():
            raise InputError(
                f"{root.absolute()} has no folder model; "
                "run in the project's checkout or pass tree=PATH"
            )
        self.models = root / "model" / "tiny"
        self.cards = root / "docs" / "ai" / "models"

    def held(self, row: ShippedModel) -> Held | None:
        """Read a place; None if a file is missing, or if the files do not agree."""
        sidecar = self.sidecar(row)
        if sidecar is None:
            return None
        model_name = f"{row.id}.onnx"
        names = [model_name, f"{row.id}.json", report_name(sidecar)]
        if sidecar.libvmaf_json:
            names.append(f"{row.id}{SUFFIX}")
        contents = {name: _read(self.models / name) for name in names}
        files = {name: content for name, content in contents.items() if content is not None}
        if len(files) < len(names):
            return None
        if OnnxStudent.hash_of(files[model_name]) != sidecar.sha256:
            return None
        try:
            student = OnnxStudent(files[model_name], row.id)
            report = EvalReport.model_validate_json(files[report_name(sidecar)])
            origin = Promoted(
                student,
                report,
                run_id=sidecar.mlflow_run_id,
                git_commit=sidecar.git_commit,
                with_libvmaf=sidecar.libvmaf_json is not None,
            )
            # They agree if the same student gives the same files again.
            agree = files_of(row, origin) == files
        except (ValidationError, InputError):
            return None
        return Held(files, sidecar, origin) if agree else None

    def sidecar(self, row: ShippedModel) -> Sidecar | None:
        """Read a place's sidecar; None if it is missing, breaks its contract, or names others."""
        try:
            sidecar = Sidecar.model_validate_json(_read(self.models / f"{row.id}.json") or b"")
        except ValidationError:
            return None
        own = (row.id, f"{row.id}.onnx")
        others = sidecar.libvmaf_json not in (None, f"{row.id}{SUFFIX}")
        return None if (sidecar.id, sidecar.onnx) != own or others else sidecar

    def is_damaged(self, row: ShippedModel) -> bool:
        """Tell whether a place has files that do not agree."""
        names = (f"{row.id}.onnx", f"{row.id}.json")
        present = any((self.models / name).exists() for name in names)
        return present and self.held(row) is None

    def other_entries(self) -> list[IndexEntry]:
        """Return the index's entries for other models, which a sync does not change.

        An index that is not JSON has no such entries.

        Raises:
            VmafTrainError: an entry breaks the contract.
        """
        shipped = {row.id for row in SHIPPED}
        try:
            entries = list(json.loads(_read(self.models / INDEX) or b"{}").get("models", []))
        except (ValueError, AttributeError, TypeError, RecursionError):
            return []
        try:
            return [
                IndexEntry.model_validate(entry)
                for entry in entries
                # What is no object breaks the contract, too.
                if not isinstance(entry, dict) or entry.get("id") not in shipped
            ]
        except ValidationError as error:
            raise VmafTrainError(
                f"{self.models / INDEX} has an entry that breaks its contract: "
                f"{error.errors()[0]['msg']}; "
                "repair it, or restore it with: git checkout -- model/tiny"
            ) from error

    def managed(self) -> set[str]:
        """Return the paths below model/tiny/ of the files that a sync replaces or removes."""
        names = {INDEX}
        for row in SHIPPED:
            names |= {f"{row.id}.onnx", f"{row.id}.json", f"{row.id}{SUFFIX}"}
            if sidecar := self.sidecar(row):
                names.add(report_name(sidecar))
        return {name for name in names if (self.models / name).exists()}

    def wanted_files(self, promoted: Mapping[str, Promoted]) -> dict[str, bytes]:
        """Return all files of model/tiny/ after a sync, by path.

        Args:
            promoted: student of each alias; a place without an alias keeps its files.
        """
        files: dict[str, bytes] = {}
        sidecars: dict[str, Sidecar] = {}
        for row in SHIPPED:
            if student := promoted.get(row.alias):
                files |= files_of(row, student)
                sidecars[row.id] = sidecar_of(row, student)
            elif held := self.held(row):
                files |= held.files
                sidecars[row.id] = held.sidecar
        others = self.other_entries()
        if sidecars or others:
            files[INDEX] = index_of(sidecars, others)
        return files

    def differing_files(self, wanted: Mapping[str, bytes]) -> list[str]:
        """Return the paths below model/tiny/ that a sync to these files changes."""
        names = wanted.keys() | self.managed()
        return sorted(name for name in names if _read(self.models / name) != wanted.get(name))

    def differing_cards(self) -> dict[str, bytes]:
        """Return the model cards that differ from the tree's files, by file name."""
        held = {row: self.held(row) for row in SHIPPED}
        cards = {
            f"{row.id}.md": card_of(row, place.sidecar, place.report, place.student)
            for row, place in held.items()
            if place
        }
        return {
            name: content for name, content in cards.items() if _read(self.cards / name) != content
        }


def check(tree: Tree, promoted: Mapping[str, Promoted]) -> list[str]:
    """Return one line per difference between a tree and the registry.

    Args:
        tree: the checkout.
        promoted: student of each alias.
    """
    if not tree.models.is_dir():
        return [f"{tree.models} is missing; restore it with: git checkout -- model/tiny"]
    moved = {row.alias for row in SHIPPED if _is_moved(tree, row, promoted)}
    # All files of a moved alias differ; one line says that it moved.
    rest = {alias: student for alias, student in promoted.items() if alias not in moved}
    return [
        *(line for row in SHIPPED for line in _alias_problems(tree, row, promoted)),
        *_other_problems(tree),
        *(
            f"model/tiny/{name}: {_fault(tree, name)}"
            for name in tree.differing_files(tree.wanted_files(rest))
        ),
        *(
            f"docs/ai/models/{name}: {_missing_or_differs(tree.cards / name)}"
            for name in tree.differing_cards()
        ),
    ]


def _is_moved(tree: Tree, row: ShippedModel, promoted: Mapping[str, Promoted]) -> bool:
    """Tell whether an alias names another file than the one that its place holds."""
    named, held = promoted.get(row.alias), tree.held(row)
    return bool(named and held and held.sidecar.sha256 != named.student.sha256)


def _alias_problems(tree: Tree, row: ShippedModel, promoted: Mapping[str, Promoted]) -> list[str]:
    named, sidecar = promoted.get(row.alias), tree.sidecar(row)
    problems = []
    if named is None and tree.is_damaged(row):
        problems.append(
            f"model/tiny/{row.id}: model, sidecar and report do not agree; see git diff model/tiny"
        )
    if named is None and sidecar:
        problems.append(f"alias {row.alias} names nothing in the registry, the tree ships {row.id}")
    if named and sidecar and _is_moved(tree, row, promoted):
        problems.append(
            f"alias {row.alias} was moved: it names version {named.version} "
            f"of run {named.run_id}, the tree holds run {sidecar.mlflow_run_id}"
        )
    return problems


def _other_problems(tree: Tree) -> list[str]:
    """Check the files of other models that the index lists."""
    problems = []
    for entry in tree.other_entries():
        content = _read(tree.models / entry.onnx)
        if content is None or OnnxStudent.hash_of(content) != entry.sha256:
            problems.append(
                f"model/tiny/{INDEX} lists {entry.id}, but {entry.onnx} is missing or another file"
            )
    return problems


def _fault(tree: Tree, name: str) -> str:
    """Return how a file of model/tiny/ differs, in words."""
    content = _read(tree.models / name)
    row = next((row for row in SHIPPED if name == f"{row.id}.onnx"), None)
    if row and content is not None and (sidecar := tree.sidecar(row)):
        sha256 = OnnxStudent.hash_of(content)
        if sha256 != sidecar.sha256:
            return f"its sha256 is {sha256[:12]}…, its sidecar says {sidecar.sha256[:12]}…"
    return _missing_or_differs(tree.models / name)


def _missing_or_differs(path: Path) -> str:
    return "differs from the file that a sync writes" if path.exists() else "is missing"


def _read(path: Path) -> bytes | None:
    """Return the content of a file; None if there is none that is read."""
    try:
        return read_whole(path)
    except (FileNotFoundError, InputError):
        return None
