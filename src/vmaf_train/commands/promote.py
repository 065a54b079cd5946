"""`register` and `sync`: from a training run to the registry's alias and to model/tiny/."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vmaf_train.errors import GateRefusedError
from vmaf_train.feature_names import parse_feature
from vmaf_train.features import EXAMPLE
from vmaf_train.judging.report import REPORT
from vmaf_train.shipping import registry
from vmaf_train.shipping.candidate import find_candidate
from vmaf_train.shipping.gates import Gate, judge
from vmaf_train.shipping.in_tree import SHIPPED, ShippedModel, report_name
from vmaf_train.shipping.sync import locked, write_tree
from vmaf_train.shipping.tree import Held, Tree, check
from vmaf_train.tracking.run import tracked


@dataclass(frozen=True)
class Registered:
    """A promotion: its gates, the version that the alias names, one line per changed file."""

    gates: Sequence[Gate]
    version: str
    alias: str
    changed: Sequence[str]


def register(
    run_id: str, root: Path, *, allow_worse: bool = False, allow_dirty: bool = False
) -> Registered:
    """Promote a run's student: run the gates, register it, move its alias, write the tree.

    Args:
        run_id: id of a training run.
        root: the checkout whose model/tiny/ is written.
        allow_worse, allow_dirty: let the gates "not worse" and "clean checkout" pass.

    Raises:
        GateRefusedError: a gate refused; nothing was changed.
        InputError: no such run, or no such checkout.
    """
    with tracked("register"):
        tree = Tree(root)
        # Locked from the gates to the files, so that the student is compared with the one that it
        # replaces.
        with locked(tree):
            candidate = find_candidate(run_id)
            held = tree.held(candidate.place) if candidate.place else None
            candidate = replace(candidate, shipped=held.promoted if held else None)
            gates = judge(candidate, allow_worse=allow_worse, allow_dirty=allow_dirty)
            if refused := [gate.name for gate in gates if not gate.passed]:
                raise GateRefusedError(
                    f"run {run_id} is not registered: {', '.join(refused)}", gates
                )
            assert candidate.place, "the gates refuse every other arch"
            version = registry.promote(candidate, candidate.place)
            return _write(tree, candidate.place, version, gates)


def point_back(version: str, root: Path) -> Registered:
    """Point an alias back at a registered version, and write its files.

    Args:
        version: version of the registered model; its arch and features decide the alias.
        root: the checkout whose model/tiny/ is written.

    Raises:
        InputError: no such version, or no such checkout.
    """
    with tracked("register"):
        tree = Tree(root)
        with locked(tree):
            return _write(tree, registry.point_back(version), version, [])


def sync_tree(root: Path) -> list[str]:
    """Write the students of the registry's aliases to model/tiny/; return a line per changed file.

    Raises:
        InputError: there is no such checkout, or it cannot be written.
        VmafTrainError: the file of a version does not fit its tags; nothing was written.
    """
    tree = Tree(root)
    with locked(tree):
        return write_tree(tree, registry.promoted_students())


def adopt_tree(root: Path) -> list[str]:
    """Register what a checkout ships, where the registry has no alias; return a line for each.

    The tree is not changed: the versions are made of its files, so a sync finds no difference.

    Raises:
        InputError: there is no such checkout, or the registry cannot be used.
    """
    tree = Tree(root)
    with locked(tree):
        lines = []
        for row in SHIPPED:
            held = tree.held(row)
            if held and registry.version_at(row.alias) is None:
                version = _adopt(row, held)
                lines.append(f"alias {row.alias} names version {version}: {row.id} of the tree")
        return lines


def _adopt(row: ShippedModel, held: Held) -> str:
    """Register the student of a place, with a run that holds its files; return the version."""
    promoted = held.promoted
    with tracked(f"adopt {row.id}") as run:

        def log() -> str:
            run.start(f"adopt {row.id}")
            run.log_tags({**promoted.report.tags, "kind": "adopted", "origin": promoted.run_id})
            report = held.files[report_name(held.sidecar)]
            run.log_files({f"{row.id}.onnx": promoted.student.content, REPORT: report})
            example = [EXAMPLE[parse_feature(name).stem] for name in promoted.student.features]
            return run.log_model(promoted.student, np.array([example]))

        return registry.adopt(row, promoted, log)


def check_tree(root: Path) -> list[str]:
    """Return one line per difference between the checkout's model/tiny/ and the registry."""
    return check(Tree(root), registry.promoted_students())


def _write(tree: Tree, place: ShippedModel, version: str, gates: Sequence[Gate]) -> Registered:
    changed = write_tree(tree, {place.alias: registry.fetch(version)})
    return Registered(gates, version, place.alias, changed)
