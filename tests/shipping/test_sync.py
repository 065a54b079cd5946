"""From an alias to model/tiny/ and back: files, faults, and what a kill or a tampered store leaves."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
from promotion import DIRTY, call, register, tree_files, versions

from vmaf_train.errors import VmafTrainError
from vmaf_train.features import EXAMPLE
from vmaf_train.judging.evaluation import EvalReport
from vmaf_train.shipping import in_tree as shipped
from vmaf_train.shipping import registry
from vmaf_train.shipping.in_tree import SHIPPED, Index, Sidecar
from vmaf_train.shipping.sync import Tree
from vmaf_train.teacher.svr import load_teacher

ROOT = Path(__file__).parents[2]
SIDECAR_KEYS = [
    "name",
    "kind",
    "input_name",
    "output_name",
    "onnx_opset",
    "id",
    "onnx",
    "opset",
    "sha256",
    "input_shape",
    "output_shape",
    "features",
    "onnx_has_scaler",
    "teacher",
    "libvmaf_version",
    "targets_source",
    "val_source",
    "metrics",
    "mlflow_run_id",
    "git_commit",
    "license",
    "notes",
    "feature_set",
    "libvmaf_features",
]


def test_a_report_from_before_a_field_existed_is_written_back_as_it_was(ids):
    register(ids["small"])
    (path,) = Path("model/tiny/training_runs").rglob("eval_report.json")
    older = (
        EvalReport.model_validate_json(path.read_text()).model_dump_json(indent=2, exclude={"box"})
        + "\n"
    )
    path.write_text(older)
    # A place without an alias keeps what it holds, unless that is damaged.
    assert Tree(Path()).sync({}) == ["wrote docs/ai/models/vmaf_tiny_v1.md"]
    assert path.read_text() == older


def test_sidecar_and_index_follow_the_contract_key_by_key(ids):
    register(ids["small"])
    sidecar = json.loads(Path("model/tiny/vmaf_tiny_v1.json").read_text())
    assert list(sidecar) == SIDECAR_KEYS
    onnx_file = Path("model/tiny/vmaf_tiny_v1.onnx")
    student, _ = registry.find_student(str(onnx_file))
    wanted = {
        "name": "vmaf_tiny_v1",
        "kind": "fr",
        "input_name": "features",
        "output_name": "vmaf",
        "onnx_opset": 17,
    }
    wanted |= {
        "sha256": student.sha256,
        "input_shape": ["N", 6],
        "output_shape": ["N"],
        "onnx_has_scaler": True,
    }
    wanted |= {
        "features": list(student.features),
        "mlflow_run_id": ids["small"],
        "val_source": "Weather",
    }
    assert wanted.items() <= sidecar.items()
    (entry,) = json.loads(Path("model/tiny/registry.json").read_text())["models"]
    assert set(entry) == {"id", "kind", "onnx", "sha256", "opset", "license", "description"}
    assert (entry["id"], entry["sha256"]) == ("vmaf_tiny_v1", student.sha256)
    assert Path("model/tiny/vmaf_tiny_v1.json").read_bytes().isascii()


def test_a_folder_that_is_no_checkout_is_bad_input(ids, tmp_path):
    result = call("sync", "--tree", tmp_path / "here")
    assert (result.exit_code, "has no folder model" in result.output) == (2, True)


def flip_a_byte():
    path = Path("model/tiny/vmaf_tiny_v1.onnx")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def lose_the_sidecar():
    Path("model/tiny/vmaf_tiny_v1.json").unlink()


def edit_the_index():
    path = Path("model/tiny/registry.json")
    path.write_text(path.read_text().replace("distilled", "boiled"))


def lose_the_report():
    shutil.rmtree("model/tiny/training_runs")


def edit_the_card():
    path = Path("docs/ai/models/vmaf_tiny_v1.md")
    path.write_text(path.read_text() + "by hand")


FAULTS = [
    (flip_a_byte, r"model/tiny/vmaf_tiny_v1\.onnx: its sha256 is .*, its sidecar says"),
    (lose_the_sidecar, r"model/tiny/vmaf_tiny_v1\.json: is missing"),
    (edit_the_index, r"model/tiny/registry\.json: is not what"),
    (lose_the_report, r"eval_report\.json: is missing"),
    (edit_the_card, r"docs/ai/models/vmaf_tiny_v1\.md: is not what"),
]


@pytest.mark.parametrize(("spoil", "message"), FAULTS, ids=[fault[0].__name__ for fault in FAULTS])
def test_a_fault_in_the_tree_is_named_and_the_next_sync_heals_it(spoil, message, ids):
    register(ids["small"])
    whole = tree_files()
    spoil()
    result = call("sync", "--check")
    assert result.exit_code == 1
    assert re.search(message, result.output), result.output
    assert call("sync").exit_code == 0
    assert tree_files() == whole
    assert call("sync", "--check").exit_code == 0


def test_a_moved_alias_is_named(ids):
    register(ids["short"])
    register(ids["small"])
    mlflow.MlflowClient().set_registered_model_alias("vmaf_tiny", "default", "1")
    result = call("sync", "--check")
    assert result.exit_code == 1
    assert (
        f"alias default was moved: it names version 1 of run {ids['short']}, the tree holds run"
        in result.output
    )


def test_a_shipped_model_without_an_alias_is_named_and_kept(ids):
    register(ids["small"])
    before = tree_files()
    mlflow.MlflowClient().delete_registered_model_alias("vmaf_tiny", "default")
    assert (
        "alias default names nothing in the registry, the tree ships vmaf_tiny_v1"
        in call("sync", "--check").output
    )
    assert call("sync").exit_code == 0
    assert tree_files() == before


def test_a_damaged_model_that_nothing_can_restore_is_not_thrown_away(ids):
    register(ids["small"])
    mlflow.MlflowClient().delete_registered_model_alias("vmaf_tiny", "default")
    flip_a_byte()
    before = tree_files()
    result = call("sync")
    assert (result.exit_code, "git checkout -- model/tiny" in result.output) == (1, True)
    assert tree_files() == before


def test_other_files_and_index_entries_of_the_folder_survive(ids):
    Path("model/tiny").mkdir()
    Path("model/tiny/README.md").write_text("mine")
    entry = {"id": "their_model", "kind": "fr", "onnx": "their_model.onnx", "sha256": "0" * 64}
    Path("model/tiny/registry.json").write_text(
        json.dumps({"schema_version": 1, "models": [entry]})
    )
    register(ids["small"])
    assert Path("model/tiny/README.md").read_text() == "mine"
    index = Index.model_validate_json(Path("model/tiny/registry.json").read_bytes())
    assert [entry.id for entry in index.models] == ["vmaf_tiny_v1", "their_model"]


def test_a_version_whose_file_is_not_that_of_its_tag_is_never_written(ids):
    register(ids["small"])
    before = tree_files()
    mlflow.MlflowClient().set_model_version_tag("vmaf_tiny", "1", "sha256", "f" * 64)
    flip = call("sync")
    assert flip.exit_code == 1
    assert "its tag says ffff" in flip.output
    assert "nothing was written" in flip.output
    assert tree_files() == before


def test_a_run_id_from_the_server_never_becomes_a_path(ids, tmp_path):
    register(ids["small"])
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("UPDATE model_versions SET run_id = '../../../../escaped'")
    result = call("sync")
    assert result.exit_code != 0
    assert not list(tmp_path.rglob("*escaped*"))
    with pytest.raises(VmafTrainError, match="no run id"):
        registry.fetch("1")


def test_the_card_is_made_from_the_tree_and_its_python_runs_elsewhere(ids, tmp_path):
    register(ids["small"])
    card = Path("docs/ai/models/vmaf_tiny_v1.md").read_text()
    sidecar = Sidecar.model_validate_json(Path("model/tiny/vmaf_tiny_v1.json").read_bytes())
    for fact in (
        sidecar.sha256,
        ids["small"],
        sidecar.git_commit,
        "3072 frames",
        "Weather",
        f"{sidecar.metrics.rmse:.4f}",
    ):
        assert fact in card
    (code,) = re.findall(r"```python\n(.*?)```", card, flags=re.S)
    code = code.replace("model/tiny/", f"{Path.cwd()}/model/tiny/")
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"{code}\nprint(scores[0])"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert 0 <= float(done.stdout) <= 100


def test_killed_anywhere_a_sync_leaves_the_old_or_the_new_set_and_the_next_one_heals(ids):
    register(ids["short"])
    old, tree = tree_files(), Tree(Path())
    candidate = registry.find_candidate(ids["small"])
    registry.promote(candidate, SHIPPED[0])
    promoted = registry.promoted_students()
    shutil.copytree(".", "../spare")
    tree.sync(promoted)
    new = tree_files()
    assert new != old

    def sync_killed_at(event: int | None) -> int:
        """Sync in a child that is killed at its nth system event; return how many there were, or the signal."""
        shutil.rmtree("model")
        shutil.rmtree("docs")
        shutil.copytree("../spare", ".", dirs_exist_ok=True)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            seen = 0

            def hook(name: str, arguments: object) -> None:
                nonlocal seen
                if name.startswith(("open", "os.", "shutil.", "ctypes.call")):
                    seen += 1
                    if seen == event:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(hook)
            Tree(Path()).sync(promoted)
            os.write(write, str(seen).encode())
            os._exit(0)
        _, status = os.waitpid(child, 0)
        os.close(write)
        with os.fdopen(read) as pipe:
            counted = pipe.read()
        assert os.waitstatus_to_exitcode(status) == (0 if event is None else -signal.SIGKILL)
        return int(counted or 0)

    events = sync_killed_at(None)
    assert tree_files() == new
    outcomes = set()
    for point in range(20):
        sync_killed_at(1 + point * (events - 1) // 20)
        models = {
            name: content
            for name, content in tree_files().items()
            if name.startswith("model/tiny/")
        }
        assert models in [
            {n: c for n, c in files.items() if n.startswith("model/tiny/")} for files in (old, new)
        ]
        outcomes.add("old" if models.items() <= old.items() else "new")
        tree.sync(promoted)
        assert tree_files() == new
        assert not list(Path("model").glob(".tiny.s*"))
    assert outcomes == {"old", "new"}


def test_without_an_exchange_of_folders_two_renames_do_and_a_kill_between_is_healed(
    ids, monkeypatch
):
    register(ids["short"])
    old = tree_files()
    registry.promote(registry.find_candidate(ids["small"]), SHIPPED[0])
    promoted = registry.promoted_students()
    monkeypatch.setattr("vmaf_train.shipping.sync._exchanged", lambda one, other: False)
    Tree(Path()).sync(promoted)
    assert Tree(Path()).check(promoted) == []
    Path("model/tiny").rename("model/.tiny.spare")
    assert Tree(Path()).sync(promoted) == []
    assert tree_files().keys() != old.keys()
    assert Tree(Path()).check(promoted) == []


def test_sync_removes_nothing_that_it_did_not_write(ids):
    register(ids["short"])
    mine = Path("model/tiny/training_runs/mine/notes.txt")
    mine.parent.mkdir()
    mine.write_text("keep")
    result = register(ids["small"])
    assert f"removed model/tiny/training_runs/{ids['short']}/eval_report.json" in result.output
    assert mine.read_text() == "keep"


def test_an_index_entry_without_its_file_is_named(ids):
    register(ids["small"])
    path = Path("model/tiny/registry.json")
    index = json.loads(path.read_text())
    index["models"].append({"id": "evil", "kind": "fr", "onnx": "evil.onnx", "sha256": "0" * 64})
    path.write_text(json.dumps(index, indent=2) + "\n")
    assert "lists evil, but evil.onnx is missing" in call("sync", "--check").output


def test_an_index_entry_that_breaks_its_contract_is_not_dropped(ids):
    register(ids["small"])
    path = Path("model/tiny/registry.json")
    path.write_text(
        path.read_text().replace('"models": [', '"models": [{"id": "theirs", "color": "red"},')
    )
    before = tree_files()
    result = call("sync")
    assert (result.exit_code, "breaks its contract" in result.output) == (1, True)
    assert tree_files() == before


@pytest.mark.parametrize("name", ["vmaf_tiny_v1.json", "training_runs"])
def test_an_edited_sidecar_or_report_is_named_without_the_registry(name, ids):
    register(ids["small"])
    mlflow.MlflowClient().delete_registered_model_alias("vmaf_tiny", "default")
    path = Path("model/tiny", name)
    path = path if path.is_file() else next(path.rglob("*.json"))
    edited, changed = re.subn(r'"rmse": [^,]+', '"rmse": 0.5', path.read_text(), count=1)
    assert changed
    path.write_text(edited)
    assert (
        "model/tiny/vmaf_tiny_v1: model, sidecar and report do not agree"
        in call("sync", "--check").output
    )


def test_two_registrations_at_once_end_with_a_version_each_and_one_alias(ids):
    command = [
        sys.executable,
        "-m",
        "vmaf_train",
        "register",
        "--allow-worse",
        "yes",
        *DIRTY,
        "--run-id",
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    both = [subprocess.Popen([*command, ids[name]], **pipes) for name in ("small", "short")]
    outputs = [process.communicate(timeout=100)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sorted(versions().values()) == sorted([ids["small"], ids["short"]])
    assert call("sync", "--check").exit_code == 0


@pytest.mark.parametrize(("name", "model"), [("sidecar", Sidecar), ("registry", Index)])
def test_the_json_schemas_in_docs_are_those_of_the_code(name, model):
    path = ROOT / "docs" / "schemas" / f"{name}.schema.json"
    assert json.loads(path.read_text()) == model.model_json_schema(), (
        "run: python docs/schemas/write.py"
    )


@pytest.mark.parametrize("row", SHIPPED, ids=lambda row: row.id)
def test_the_shipped_model_is_whole_and_loads_in_bare_onnxruntime_from_any_folder(row, tmp_path):
    sidecar = Sidecar.model_validate_json((ROOT / "model" / "tiny" / f"{row.id}.json").read_bytes())
    code = f"""
import hashlib, numpy, onnxruntime
path = {str(ROOT / "model" / "tiny" / sidecar.onnx)!r}
assert hashlib.sha256(open(path, "rb").read()).hexdigest() == {sidecar.sha256!r}
session = onnxruntime.InferenceSession(path)
print(session.run(["vmaf"], {{"features": numpy.zeros((3, {len(sidecar.features)}), numpy.float32)}})[0].shape)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "(3,)", done.stderr


@pytest.mark.parametrize("row", SHIPPED, ids=lambda row: row.id)
def test_the_example_on_a_shipped_card_gives_what_the_teacher_gives_within_the_error_it_states(row):
    (code,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/ai/models" / f"{row.id}.md").read_text(), flags=re.S
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"{code}\nprint(*scores)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    teacher = load_teacher().score(np.array([list(EXAMPLE.values())]), list(EXAMPLE))
    stated = Sidecar.model_validate_json(
        (ROOT / "model" / "tiny" / f"{row.id}.json").read_bytes()
    ).metrics
    assert float(done.stdout) == pytest.approx(float(teacher[0]), abs=3 * stated.rmse)


def test_the_shipped_tree_agrees_with_itself_and_its_cards():
    problems = Tree(ROOT).check({})
    assert problems == [
        f"alias {row.alias} names nothing in the registry, the tree ships {row.id}"
        for row in SHIPPED
    ]


def test_nothing_but_the_table_decides_what_is_shipped():
    assert shipped.place_of("linear", "canonical") is None
    assert shipped.place_of("quartic", "canonical") is None
    assert [shipped.place_of(row.arch, row.features) for row in SHIPPED] == list(SHIPPED)
