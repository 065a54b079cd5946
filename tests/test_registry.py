"""From a run to model/tiny/: gates, versions, aliases, files, and what a kill or a tampered store leaves."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import mlflow
import numpy as np
import pytest
from typer.testing import CliRunner

from vmaf_train import pipeline, registry, shipped
from vmaf_train.cli import app
from vmaf_train.errors import VmafTrainError
from vmaf_train.pipeline import CorpusChoice
from vmaf_train.reporting import Reporter
from vmaf_train.shipped import SHIPPED, Index, Sidecar
from vmaf_train.sync import Tree
from vmaf_train.training import Settings

ROOT = Path(__file__).parents[1]
DIRTY = ["--allow-dirty", "yes"]
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
]


def call(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def register(run_id: str, *options: str, dirty: bool = True):
    return call("register", "--run-id", run_id, *(DIRTY if dirty else []), *options)


def train(arch: str, **settings: int) -> str:
    done = pipeline.train(CorpusChoice(), arch, "auto", Settings(**settings), Reporter())
    return done.where[0].split()[1]


@pytest.fixture(scope="module")
def runs(demo_cache, store_template, tmp_path_factory):
    """Train a few students once; return the store's address and the run ids by what they are."""
    address = store_template(tmp_path_factory.mktemp("runs"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VMAF_TINY_AI_CACHE", str(demo_cache))
        patch.setenv("MLFLOW_TRACKING_URI", address)
        ids = {"small": train("mlp_small"), "short": train("mlp_small", epochs=4), "linear": train("linear")}
        ids["medium"] = train("mlp_medium")
        done = pipeline.train(CorpusChoice(), "mlp_small", "Colony", Settings(), Reporter())
        ids["other hold-out"] = done.where[0].split()[1]
        smoke = pipeline.train(CorpusChoice(assume_dims="16x16"), "mlp_small", "auto", Settings(epochs=0), Reporter())
        ids["smoke"] = smoke.where[0].split()[1]
    return address, ids


@pytest.fixture
def ids(runs, tmp_path, monkeypatch):
    """Give the test a registry of its own over those runs, and a checkout with an empty model/ as working folder."""
    address, ids = runs
    shutil.copy(address.removeprefix("sqlite:///"), tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    (tmp_path / "checkout" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "checkout")
    return ids


def tree_files() -> dict[str, bytes]:
    files = [*Path("model").rglob("*"), *Path("docs").rglob("*")]
    return {path.as_posix(): path.read_bytes() for path in files if path.is_file() and path.name != ".tiny.lock"}


def versions() -> dict[str, str]:
    """Return run id by version."""
    client = mlflow.MlflowClient()
    return {str(v.version): v.run_id for v in client.search_model_versions("name = 'vmaf_tiny'")}


def alias(name: str) -> str:
    return str(mlflow.MlflowClient().get_model_version_by_alias("vmaf_tiny", name).version)


def test_a_run_becomes_a_version_an_alias_and_files_that_agree(ids):
    result = register(ids["small"])
    assert result.exit_code == 0, result.output
    assert versions() == {"1": ids["small"]}
    assert alias("default") == "1"
    assert sorted(tree_files()) == [
        "docs/ai/models/vmaf_tiny_v1.md",
        "model/tiny/registry.json",
        f"model/tiny/training_runs/{ids['small']}/eval_report.json",
        "model/tiny/vmaf_tiny_v1.json",
        "model/tiny/vmaf_tiny_v1.onnx",
    ]
    checked = call("sync", "--check")
    assert (checked.exit_code, checked.output) == (0, "the tree and the registry agree\n")


def test_sidecar_and_index_follow_the_contract_key_by_key(ids):
    register(ids["small"])
    sidecar = json.loads(Path("model/tiny/vmaf_tiny_v1.json").read_text())
    assert list(sidecar) == SIDECAR_KEYS
    onnx_file = Path("model/tiny/vmaf_tiny_v1.onnx")
    student, _ = registry.find_student(str(onnx_file))
    wanted = {"name": "vmaf_tiny_v1", "kind": "fr", "input_name": "features", "output_name": "vmaf", "onnx_opset": 17}
    wanted |= {"sha256": student.sha256, "input_shape": ["N", 6], "output_shape": ["N"], "onnx_has_scaler": True}
    wanted |= {"features": list(student.features), "mlflow_run_id": ids["small"], "val_source": "Weather"}
    assert wanted.items() <= sidecar.items()
    (entry,) = json.loads(Path("model/tiny/registry.json").read_text())["models"]
    assert set(entry) == {"id", "kind", "onnx", "sha256", "opset", "license", "description"}
    assert (entry["id"], entry["sha256"]) == ("vmaf_tiny_v1", student.sha256)
    assert Path("model/tiny/vmaf_tiny_v1.json").read_bytes().isascii()


def test_a_version_carries_what_it_came_from(ids):
    register(ids["small"])
    tags = mlflow.MlflowClient().get_model_version("vmaf_tiny", "1").tags
    wanted = {"run_id", "arch", "sha256", "dataset_digest", "teacher", "hold_out", "git_commit", "val_rmse", "val_plcc"}
    assert wanted <= tags.keys()
    assert (tags["run_id"], tags["arch"], tags["hold_out"]) == (ids["small"], "mlp_small", "Weather")


def test_two_archs_fill_two_places(ids):
    assert register(ids["small"]).exit_code == register(ids["medium"]).exit_code == 0
    index = Index.model_validate_json(Path("model/tiny/registry.json").read_bytes())
    assert [entry.id for entry in index.models] == ["vmaf_tiny_v1", "vmaf_tiny_v1_medium"]
    assert call("sync", "--check").exit_code == 0


def test_registering_again_and_syncing_again_change_nothing(ids):
    register(ids["small"])
    before = {path: Path(path).stat().st_mtime_ns for path in tree_files()}
    assert register(ids["small"]).exit_code == 0
    assert call("sync").output == "the tree held all of it already\n"
    assert versions() == {"1": ids["small"]}
    assert {path: Path(path).stat().st_mtime_ns for path in tree_files()} == before


REFUSALS = [
    ("linear", [], "shipped arch", "linear: never shipped"),
    ("smoke", [], "finished run", "FINISHED, smoke true"),
]


@pytest.mark.parametrize(("run", "options", "gate", "fact"), REFUSALS)
def test_a_refused_gate_is_shown_exits_3_and_changes_nothing(run, options, gate, fact, ids):
    result = register(ids[run], *options)
    assert result.exit_code == 3, result.output
    assert re.search(rf"{gate} +│ REFUSED │ {fact}", result.output)
    assert (versions(), tree_files()) == ({}, {})


def test_uncommitted_code_is_refused_unless_allowed(ids):
    mlflow.MlflowClient().set_tag(ids["small"], "git_dirty", "true")
    result = register(ids["small"], dirty=False)
    assert (result.exit_code, versions()) == (3, {})
    assert re.search(r"clean checkout +│ REFUSED │ dirty true", result.output)
    assert register(ids["small"], dirty=True).exit_code == 0


def test_committed_code_needs_no_leave(ids):
    mlflow.MlflowClient().set_tag(ids["small"], "git_dirty", "false")
    assert register(ids["small"], dirty=False).exit_code == 0


def test_a_run_that_is_not_finished_is_refused(ids):
    mlflow.MlflowClient().set_terminated(ids["small"], "FAILED")
    result = register(ids["small"])
    mlflow.MlflowClient().set_terminated(ids["small"], "FINISHED")
    assert (result.exit_code, versions()) == (3, {})
    assert "FAILED, smoke false" in result.output


def test_a_worse_student_is_refused_unless_allowed(ids):
    assert register(ids["small"]).exit_code == 0
    before = tree_files()
    result = register(ids["short"])
    assert result.exit_code == 3
    assert re.search(r"not worse +│ REFUSED │ RMSE .* against .* of version 1", result.output)
    assert (tree_files(), alias("default")) == (before, "1")
    assert register(ids["short"], "--allow-worse", "yes").exit_code == 0
    assert alias("default") == "2"


def test_a_better_student_takes_the_alias(ids):
    assert register(ids["short"]).exit_code == 0
    assert register(ids["small"]).exit_code == 0
    assert (alias("default"), versions()[alias("default")]) == ("2", ids["small"])
    assert f"model/tiny/training_runs/{ids['short']}/eval_report.json" not in tree_files()


def test_a_student_is_not_compared_on_what_the_holder_was_trained_on(ids):
    register(ids["small"])
    result = register(ids["other hold-out"])
    assert result.exit_code == 3
    assert "version 1 was trained on Colony, so the two cannot be compared on it" in result.output


@pytest.mark.parametrize(
    ("ours", "passes"),
    [
        (lambda y_N: y_N + 3, False),  # a perfect PLCC does not make up for a worse RMSE
        (lambda y_N: y_N.mean() + 0.999 * (y_N - y_N.mean()), True),
    ],
)
def test_both_rmse_and_plcc_have_to_hold(ours, passes, ids, monkeypatch):
    register(ids["small"])
    candidate = registry.find_candidate(ids["short"])
    monkeypatch.setattr(candidate.student, "score", lambda x_NF: ours(candidate.held_out.y_N))
    (gate,) = [gate for gate in registry.judge(candidate, False, True) if gate.name == "not worse"]
    assert gate.passed is passes, gate.fact


def test_a_lower_plcc_is_refused_whatever_the_rmse(ids, monkeypatch):
    register(ids["small"])
    candidate = registry.find_candidate(ids["short"])
    y_N = candidate.held_out.y_N
    wobble_N = 0.7 * np.where(np.arange(len(y_N)) % 2, 1, -1)  # RMSE 0.7, below the holder's own
    monkeypatch.setattr(candidate.student, "score", lambda x_NF: y_N + wobble_N)
    holder = registry.promoted_students()["default"]
    monkeypatch.setattr(holder.student, "score", lambda x_NF: y_N + 3)
    monkeypatch.setattr(registry, "promoted_students", lambda: {"default": holder})
    (gate,) = [gate for gate in registry.judge(candidate, False, True) if gate.name == "not worse"]
    assert not gate.passed, gate.fact


def test_a_promotion_waits_for_another_that_writes_the_tree(ids):
    tree = Tree(Path())
    arguments = (ids["small"], "", Path(), False, True)
    with tree.lock:
        waiting = threading.Thread(target=pipeline.register, args=arguments)
        waiting.start()
        waiting.join(timeout=1.5)
        assert (waiting.is_alive(), versions()) == (True, {})
    waiting.join(timeout=30)
    assert versions() == {"1": ids["small"]}
    assert tree.check(registry.promoted_students()) == []


def test_a_report_that_the_model_does_not_reproduce_is_refused(ids, monkeypatch):
    candidate = registry.find_candidate(ids["small"])
    halved = candidate.report.model_copy(update={"rmse": candidate.report.rmse / 2})
    refused = {
        gate.name
        for gate in registry.judge(type(candidate)(**{**vars(candidate), "report": halved}), False, True)
        if not gate.passed
    }
    assert refused == {"report reproduced"}


def test_a_model_of_another_run_under_this_runs_report_is_refused(ids):
    candidate = registry.find_candidate(ids["small"])
    other = registry.find_candidate(ids["medium"]).student
    refused = {
        gate.name
        for gate in registry.judge(type(candidate)(**{**vars(candidate), "student": other}), False, True)
        if not gate.passed
    }
    assert refused == {"one file everywhere", "report reproduced"}


def test_rolling_back_points_the_alias_and_the_tree_at_the_older_version(ids):
    register(ids["short"])
    old = tree_files()
    register(ids["small"])
    result = call("register", "--version", "1")
    assert result.exit_code == 0, result.output
    assert alias("default") == "1"
    assert tree_files() == old
    assert len(versions()) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "either run_id or version"),
        (["--run-id", "0" * 32], "no usable run 0000"),
        (["--run-id", "../../etc"], "is not a run id"),
        (["--version", "9"], "no usable vmaf_tiny version 9"),
    ],
)
def test_a_run_or_version_that_is_not_there_is_bad_input(options, message, ids):
    result = call("register", *options)
    assert (result.exit_code, message in result.output) == (2, True), result.output
    assert tree_files() == {}


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
    assert f"alias default was moved: it names version 1 of run {ids['short']}, the tree holds run" in result.output


def test_a_shipped_model_without_an_alias_is_named_and_kept(ids):
    register(ids["small"])
    before = tree_files()
    mlflow.MlflowClient().delete_registered_model_alias("vmaf_tiny", "default")
    assert "alias default names nothing in the registry, the tree ships vmaf_tiny_v1" in call("sync", "--check").output
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
    Path("model/tiny/registry.json").write_text(json.dumps({"schema_version": 1, "models": [entry]}))
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
        models = {name: content for name, content in tree_files().items() if name.startswith("model/tiny/")}
        assert models in [{n: c for n, c in files.items() if n.startswith("model/tiny/")} for files in (old, new)]
        outcomes.add("old" if models.items() <= old.items() else "new")
        tree.sync(promoted)
        assert tree_files() == new
        assert not list(Path("model").glob(".tiny.s*"))
    assert outcomes == {"old", "new"}


def test_without_an_exchange_of_folders_two_renames_do_and_a_kill_between_is_healed(ids, monkeypatch):
    register(ids["short"])
    old = tree_files()
    registry.promote(registry.find_candidate(ids["small"]), SHIPPED[0])
    promoted = registry.promoted_students()
    monkeypatch.setattr("vmaf_train.sync._exchanged", lambda one, other: False)
    Tree(Path()).sync(promoted)
    assert Tree(Path()).check(promoted) == []
    Path("model/tiny").rename("model/.tiny.spare")
    assert Tree(Path()).sync(promoted) == []
    assert tree_files().keys() != old.keys()
    assert Tree(Path()).check(promoted) == []


def test_a_report_without_correlations_is_refused_before_anything_changes(ids):
    candidate = registry.find_candidate(ids["small"])
    one_clip = candidate.report.model_copy(update={"pooled": candidate.report.pooled.model_copy(update={"plcc": None})})
    gates = registry.judge(type(candidate)(**{**vars(candidate), "report": one_clip}), False, True)
    assert [gate.name for gate in gates if not gate.passed] == ["enough to judge"]


def test_a_deleted_run_is_refused(ids):
    mlflow.MlflowClient().delete_run(ids["small"])
    result = register(ids["small"])
    mlflow.MlflowClient().restore_run(ids["small"])
    assert (result.exit_code, "deleted, smoke false" in result.output, versions()) == (3, True, {})


def test_a_holder_that_cannot_be_read_is_told_and_can_be_replaced(ids):
    register(ids["short"])
    mlflow.MlflowClient().set_model_version_tag("vmaf_tiny", "1", "sha256", "f" * 64)
    refused = register(ids["small"])
    assert (refused.exit_code, "version 1 cannot be read" in refused.output) == (3, True)
    assert register(ids["small"], "--allow-worse", "yes").exit_code == 0
    assert call("sync", "--check").exit_code == 0


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
    path.write_text(path.read_text().replace('"models": [', '"models": [{"id": "theirs", "color": "red"},'))
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
    path.write_text(path.read_text().replace("0.8", "0.1"))
    assert "model/tiny/vmaf_tiny_v1: model, sidecar and report do not agree" in call("sync", "--check").output


def test_two_registrations_at_once_end_with_a_version_each_and_one_alias(ids):
    command = [sys.executable, "-m", "vmaf_train", "register", "--allow-worse", "yes", *DIRTY, "--run-id"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    both = [subprocess.Popen([*command, ids[name]], **pipes) for name in ("small", "short")]
    outputs = [process.communicate(timeout=100)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sorted(versions().values()) == sorted([ids["small"], ids["short"]])
    assert call("sync", "--check").exit_code == 0


@pytest.mark.parametrize(("name", "model"), [("sidecar", Sidecar), ("registry", Index)])
def test_the_json_schemas_in_docs_are_those_of_the_code(name, model):
    path = ROOT / "docs" / "schemas" / f"{name}.schema.json"
    assert json.loads(path.read_text()) == model.model_json_schema(), "run: python docs/schemas/write.py"


@pytest.mark.parametrize("row", SHIPPED, ids=lambda row: row.id)
def test_the_shipped_model_is_whole_and_loads_in_bare_onnxruntime_from_any_folder(row, tmp_path):
    sidecar = Sidecar.model_validate_json((ROOT / "model" / "tiny" / f"{row.id}.json").read_bytes())
    code = f"""
import hashlib, numpy, onnxruntime
path = {str(ROOT / "model" / "tiny" / sidecar.onnx)!r}
assert hashlib.sha256(open(path, "rb").read()).hexdigest() == {sidecar.sha256!r}
session = onnxruntime.InferenceSession(path)
print(session.run(["vmaf"], {{"features": numpy.zeros((3, 6), numpy.float32)}})[0].shape)
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "(3,)", done.stderr


def test_the_shipped_tree_agrees_with_itself_and_its_cards():
    problems = Tree(ROOT).check({})
    assert problems == [f"alias {row.alias} names nothing in the registry, the tree ships {row.id}" for row in SHIPPED]


def test_nothing_but_the_table_decides_what_is_shipped():
    assert shipped.place_of("linear") is None
    assert [shipped.place_of(row.arch) for row in SHIPPED] == list(SHIPPED)
