"""From the registry's aliases to the files in model/tiny/, all or nothing, and the proof that both agree.

The new set is staged beside model/tiny/, synced to disk, and exchanged with it in one step; a process that is killed
leaves the old set or the new one. Where the system cannot exchange two folders, two renames do it, and the next sync
heals what a kill between them leaves. Model cards in docs/ai/models/ are made from the tree, after it.
"""

import ctypes
import errno
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock
from pydantic import ValidationError

from vmaf_train.errors import InputError, VmafTrainError
from vmaf_train.judging.evaluation import EvalReport
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
)

RENAME_EXCHANGE, AT_FDCWD = 2, -100


class Tree:
    """The checkout's shipped models.

    Attributes:
        models: the folder model/tiny/.
        cards: the folder docs/ai/models/.
        lock: held by a writer; hold it from reading the aliases on, so that what is written is what they name.

    Raises:
        InputError: the folder is no checkout of the project.
    """

    def __init__(self, root: Path) -> None:
        self.models = root / "model" / "tiny"
        self.cards = root / "docs" / "ai" / "models"
        self._staged, self._spare = (
            self.models.with_name(f".tiny.{name}") for name in ("staged", "spare")
        )
        if not (root / "model").is_dir():
            raise InputError(
                f"{root.absolute()} has no folder model; run in the project's checkout or pass tree=PATH"
            )
        self.lock = FileLock(self.models.with_name(".tiny.lock"))

    def sync(self, promoted: Mapping[str, Promoted]) -> list[str]:
        """Write what the aliases name; places without an alias keep what they hold.

        Args:
            promoted: students by alias.

        Returns:
            A line for each file written or removed, relative to the checkout; empty when all was there.

        Raises:
            VmafTrainError: a shipped place is damaged and no alias names what belongs there.
            InputError: the folder cannot be written.
        """
        with self.lock:
            self._heal()
            if damaged := [
                row.id for row in SHIPPED if row.alias not in promoted and self._damaged(row)
            ]:
                raise VmafTrainError(
                    f"{', '.join(damaged)} in {self.models} is damaged and the registry has no alias for it; "
                    "restore it with: git checkout -- model/tiny"
                )
            wanted = self._wanted(promoted)
            verb = {
                name: "wrote" if name in wanted else "removed" for name in self._differing(wanted)
            }
            changed = [f"{verb[name]} model/tiny/{name}" for name in verb]
            if changed:
                self._exchange(wanted)
            for name, content in self._wanted_cards().items():
                if _read(self.cards / name) != content:
                    self._write_card(name, content)
                    changed.append(f"wrote docs/ai/models/{name}")
        return changed

    def check(self, promoted: Mapping[str, Promoted]) -> list[str]:
        """Name every difference between the tree and the registry, one line each; empty when they agree."""
        problems, comparable = [], dict(promoted)
        for row in SHIPPED:
            own, named = self._read_place(row), promoted.get(row.alias)
            sidecar = self._sidecar(row)
            if named is None and self._damaged(row):
                problems.append(
                    f"model/tiny/{row.id}: model, sidecar and report do not agree; see git diff model/tiny"
                )
            if named is None and sidecar:
                problems.append(
                    f"alias {row.alias} names nothing in the registry, the tree ships {row.id}"
                )
            if named and own and sidecar and sidecar.sha256 != named.student.sha256:
                del comparable[row.alias]
                problems.append(
                    f"alias {row.alias} was moved: it names version {named.version} of run {named.run_id}, "
                    f"the tree holds run {sidecar.mlflow_run_id}"
                )
        for entry in self._foreign():
            content = _read(self.models / entry.onnx)
            if content is None or OnnxStudent.hash_of(content) != entry.sha256:
                problems.append(
                    f"model/tiny/registry.json lists {entry.id}, but {entry.onnx} is missing or another file"
                )
        wanted = self._wanted(comparable)
        problems += [f"model/tiny/{name}: {self._fault(name)}" for name in self._differing(wanted)]
        problems += [
            f"docs/ai/models/{name}: {_missing_or_other(self.cards / name)}"
            for name, content in self._wanted_cards().items()
            if _read(self.cards / name) != content
        ]
        return problems

    def _wanted(self, promoted: Mapping[str, Promoted]) -> dict[str, bytes]:
        """Return the whole managed content of model/tiny/ by name."""
        files: dict[str, bytes] = {}
        sidecars = []
        for row in SHIPPED:
            own = (
                files_of(row, promoted[row.alias])
                if row.alias in promoted
                else self._read_place(row)
            )
            if own:
                files |= own
                sidecars.append((row, Sidecar.model_validate_json(own[f"{row.id}.json"])))
        foreign = self._foreign()
        if sidecars or foreign:
            files[INDEX] = index_of(sidecars, foreign)
        return files

    def _wanted_cards(self) -> dict[str, bytes]:
        """Return the model cards of what the tree holds now."""
        cards = {}
        for row in SHIPPED:
            if own := self._read_place(row):
                sidecar = Sidecar.model_validate_json(own[f"{row.id}.json"])
                report = EvalReport.model_validate_json(own[report_name(sidecar)])
                cards[f"{row.id}.md"] = card_of(
                    row, sidecar, report, OnnxStudent(own[sidecar.onnx], row.id)
                )
        return cards

    def _read_place(self, row: ShippedModel) -> dict[str, bytes]:
        """Return the files of one place if they are all there and agree with their sidecar, else nothing."""
        sidecar = self._sidecar(row)
        if sidecar is None:
            return {}
        names = (f"{row.id}.onnx", f"{row.id}.json", report_name(sidecar))
        found = {
            name: content for name in names if (content := _read(self.models / name)) is not None
        }
        if len(found) < len(names) or OnnxStudent.hash_of(found[sidecar.onnx]) != sidecar.sha256:
            return {}
        try:
            report = EvalReport.model_validate_json(found[report_name(sidecar)])
            student = OnnxStudent(found[sidecar.onnx], row.id)
            origin = Promoted(
                student, report, sidecar.mlflow_run_id, sidecar.git_commit, version=""
            )
            return found if files_of(row, origin) == found else {}
        except (ValidationError, InputError):
            return {}

    def _damaged(self, row: ShippedModel) -> bool:
        present = any((self.models / f"{row.id}{ending}").exists() for ending in (".onnx", ".json"))
        return present and not self._read_place(row)

    def _heal(self) -> None:
        """Clear up after a sync that was killed."""
        if self._spare.exists() and not self.models.exists():
            self._spare.rename(self.models)
        for leftover in (self._spare, self._staged):
            shutil.rmtree(leftover, ignore_errors=True)

    def _sidecar(self, row: ShippedModel) -> Sidecar | None:
        try:
            return Sidecar.model_validate_json(_read(self.models / f"{row.id}.json") or b"")
        except ValidationError:
            return None

    def _foreign(self) -> list[IndexEntry]:
        """Return the index's entries that are not ours to change; an index that is no JSON holds none."""
        try:
            entries = json.loads(_read(self.models / INDEX) or b"{}").get("models", [])
            return [
                IndexEntry.model_validate(e)
                for e in entries
                if e.get("id") not in {row.id for row in SHIPPED}
            ]
        except ValidationError as error:
            raise VmafTrainError(
                f"{self.models / INDEX} has an entry that breaks its contract: {error.errors()[0]['msg']}; "
                "repair it, or restore it with: git checkout -- model/tiny"
            ) from error
        except (ValueError, AttributeError, TypeError):
            return []

    def _managed(self) -> set[str]:
        """Return the names in model/tiny/ that are ours to write and to remove."""
        names = {INDEX} | {f"{row.id}{ending}" for row in SHIPPED for ending in (".onnx", ".json")}
        names |= {report_name(sidecar) for row in SHIPPED if (sidecar := self._sidecar(row))}
        return {name for name in names if (self.models / name).exists()}

    def _differing(self, wanted: Mapping[str, bytes]) -> list[str]:
        return sorted(
            name
            for name in wanted.keys() | self._managed()
            if _read(self.models / name) != wanted.get(name)
        )

    def _fault(self, name: str) -> str:
        path = self.models / name
        row = next((row for row in SHIPPED if name == f"{row.id}.onnx"), None)
        if row and path.is_file() and (sidecar := self._sidecar(row)):
            found = OnnxStudent.hash_of(path.read_bytes())
            if found != sidecar.sha256:
                return f"its sha256 is {found[:12]}…, its sidecar says {sidecar.sha256[:12]}…"
        return _missing_or_other(path)

    def _exchange(self, wanted: Mapping[str, bytes]) -> None:
        """Replace the managed files by these, keeping all other files of the folder."""
        try:
            self.models.mkdir(exist_ok=True)
            managed = {self.models / name for name in self._managed()}
            shutil.copytree(
                self.models,
                self._staged,
                ignore=lambda folder, names: [
                    name for name in names if Path(folder, name) in managed
                ],
            )
            for name, content in wanted.items():
                (self._staged / name).parent.mkdir(parents=True, exist_ok=True)
                (self._staged / name).write_bytes(content)
            for path in (*self._staged.rglob("*"), self._staged):
                if path.is_dir() and path != self._staged and not any(path.iterdir()):
                    path.rmdir()
                else:
                    _to_disk(path)
            if not _exchanged(self._staged, self.models):
                self.models.rename(self._spare)
                self._staged.rename(self.models)
            _to_disk(self.models.parent)
            self._heal()
        except OSError as error:
            raise InputError(
                f"cannot write {error.filename or self.models}: {error.strerror}; the tree is as it was or whole. "
                "Free some space or fix the permissions, then run: vmaf-train sync"
            ) from error

    def _write_card(self, name: str, content: bytes) -> None:
        self.cards.mkdir(parents=True, exist_ok=True)
        part = self.cards / f".{name}.part"
        part.write_bytes(content)
        part.replace(self.cards / name)


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _missing_or_other(path: Path) -> str:
    return "is not what the registry's model makes" if path.exists() else "is missing"


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two folders in one step (Linux' renameat2); return False where the system cannot."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if (
        libc.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE)
        == 0
    ):
        return True
    if ctypes.get_errno() in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))
