"""The contract of the files: sidecar, index, model card, and the files that are shipped."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from promotion import register

from vmaf_train.feature_names import parse_feature
from vmaf_train.features import EXAMPLE, FEATURE_SETS
from vmaf_train.judging.report import EvalReport
from vmaf_train.onnx_file.expected_error import expected_error_of
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.shipping.in_tree import (
    SHIPPED,
    Index,
    Promoted,
    Sidecar,
    card_of,
    files_of,
    index_of,
    place_of,
)
from vmaf_train.shipping.libvmaf_model import libvmaf_model_of
from vmaf_train.shipping.sync import write_tree
from vmaf_train.shipping.tree import Tree, check
from vmaf_train.students.settings import HYBRID, MOS
from vmaf_train.teacher.teachers import DEFAULT_TEACHER, find_teacher

ROOT = Path(__file__).parents[2]

# The place for opinion scores is empty.
FILLED = [row for row in SHIPPED if row.alias != "mos"]


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
    "interval",
]


LIBVMAF_KEYS = ["libvmaf_json", "libvmaf_json_sha256", "libvmaf_json_max_error"]


def test_sidecar_and_index_follow_the_contract_key_by_key(ids):
    register(ids["small"])
    sidecar = json.loads(Path("model/tiny/vmaf_tiny_v1.json").read_text())
    assert list(sidecar) == SIDECAR_KEYS
    onnx_file = Path("model/tiny/vmaf_tiny_v1.onnx")
    student = OnnxStudent(onnx_file.read_bytes(), "it")
    wanted = {
        "name": "vmaf_tiny_v1",
        "kind": "fr",
        "input_name": "features",
        "output_name": "vmaf",
        "onnx_opset": 17,
        "sha256": student.sha256,
        "input_shape": ["N", 6],
        "output_shape": ["N"],
        "onnx_has_scaler": True,
        "features": list(student.features),
        "mlflow_run_id": ids["small"],
        "val_source": "Weather",
    }
    assert wanted.items() <= sidecar.items()
    stated = expected_error_of(student, "it")
    assert sidecar["interval"] == {
        **stated.interval.model_dump(mode="json"),
        "outside_threshold": stated.familiar.limit,
    }
    (entry,) = json.loads(Path("model/tiny/registry.json").read_text())["models"]
    assert set(entry) == {"id", "kind", "onnx", "sha256", "opset", "license", "description"}
    assert (entry["id"], entry["sha256"]) == ("vmaf_tiny_v1", student.sha256)
    assert Path("model/tiny/vmaf_tiny_v1.json").read_bytes().isascii()


def test_a_polynomial_has_a_file_for_libvmaf_that_its_sidecar_and_card_name(ids):
    register(ids["quintic"])
    sidecar = json.loads(Path("model/tiny/vmaf_tiny_exact.json").read_text())
    assert list(sidecar) == [*SIDECAR_KEYS, *LIBVMAF_KEYS]
    content = Path("model/tiny", sidecar["libvmaf_json"]).read_bytes()
    student = OnnxStudent(Path("model/tiny/vmaf_tiny_exact.onnx").read_bytes(), "it")
    assert libvmaf_model_of(student, "it").content == content
    assert sidecar["libvmaf_json"] == "vmaf_tiny_exact.libvmaf.json"
    assert sidecar["libvmaf_json_sha256"] == OnnxStudent.hash_of(content)
    assert 0 <= sidecar["libvmaf_json_max_error"] < 1e-6
    line = "ffmpeg -i distorted.mp4 -i reference.mp4 -lavfi libvmaf=model=path="
    card = Path("docs/ai/models/vmaf_tiny_exact.md").read_text()
    assert f"{line}model/tiny/vmaf_tiny_exact.libvmaf.json -f null -" in card


def test_an_older_report_without_a_new_field_is_kept_unchanged(ids):
    register(ids["small"])
    (path,) = Path("model/tiny/training_runs").rglob("eval_report.json")
    report = EvalReport.model_validate_json(path.read_text())
    older = report.model_dump_json(indent=2, exclude={"box"}) + "\n"
    path.write_text(older)
    # No alias is given, so the place keeps its files; only the card is made anew.
    assert write_tree(Tree(Path()), {}) == ["wrote docs/ai/models/vmaf_tiny_v1.md"]
    assert path.read_text() == older


def run_example(card, folder):
    """Run the Python of a model card in a folder; return the scores that it prints."""
    (code,) = re.findall(r"```python\n(.*?)```", card, flags=re.S)
    command = [sys.executable, "-I", "-c", f"{code}\nprint(*scores)"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_card_states_the_facts_and_its_python_runs(ids, tmp_path):
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
        f"± {sidecar.interval.half_widths[-1].half_width:.4g}",
        f"in {100 * sidecar.interval.confidence:.0f} % of the clips",
    ):
        assert fact in card
    in_this_tree = card.replace("model/tiny/", f"{Path.cwd()}/model/tiny/")
    assert 0 <= float(run_example(in_this_tree, tmp_path)) <= 100


@pytest.mark.parametrize(("name", "model"), [("sidecar", Sidecar), ("registry", Index)])
def test_the_json_schemas_in_docs_match_the_code(name, model):
    path = ROOT / "docs" / "schemas" / f"{name}.schema.json"
    assert json.loads(path.read_text()) == model.model_json_schema(), (
        "run: python docs/schemas/write.py"
    )


@pytest.mark.parametrize("row", FILLED, ids=lambda row: row.id)
def test_a_shipped_model_loads_in_bare_onnxruntime_from_any_folder(row, tmp_path):
    sidecar = Sidecar.model_validate_json((ROOT / "model" / "tiny" / f"{row.id}.json").read_bytes())
    code = f"""
import hashlib, numpy, onnxruntime
path = {str(ROOT / "model" / "tiny" / sidecar.onnx)!r}
assert hashlib.sha256(open(path, "rb").read()).hexdigest() == {sidecar.sha256!r}
session = onnxruntime.InferenceSession(path)
x_NF = numpy.zeros((3, {len(sidecar.features)}), numpy.float32)
print(session.run(["vmaf"], {{"features": x_NF}})[0].shape)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "(3,)", done.stderr


@pytest.mark.parametrize("row", FILLED, ids=lambda row: row.id)
def test_the_example_on_a_shipped_card_is_within_three_rmse_of_the_teacher(row):
    card = (ROOT / "docs" / "ai" / "models" / f"{row.id}.md").read_text()
    score = float(run_example(card, ROOT))
    teacher = find_teacher(row.teacher)
    example = [EXAMPLE[parse_feature(name).stem] for name in teacher.features]
    teacher_N = teacher.score(np.array([example]), teacher.features)
    sidecar = (ROOT / "model" / "tiny" / f"{row.id}.json").read_bytes()
    stated = Sidecar.model_validate_json(sidecar).metrics
    assert score == pytest.approx(float(teacher_N[0]), abs=3 * stated.rmse)


def test_the_shipped_tree_has_no_differences_but_its_aliases():
    problems = check(Tree(ROOT), {})
    assert problems == [
        f"alias {row.alias} names nothing in the registry, the tree ships {row.id}"
        for row in FILLED
    ]


@pytest.mark.parametrize("row", FILLED, ids=lambda row: row.id)
def test_shipped_files_follow_from_their_facts_byte_by_byte(row):
    held = Tree(ROOT).held(row)
    origin = Promoted(
        held.student,
        held.report,
        run_id=held.sidecar.mlflow_run_id,
        git_commit=held.sidecar.git_commit,
        with_libvmaf=held.sidecar.libvmaf_json is not None,
    )
    made = files_of(row, origin)
    assert len(made) == (4 if held.sidecar.libvmaf_json else 3)
    assert made == {name: (ROOT / "model" / "tiny" / name).read_bytes() for name in made}
    card = card_of(row, held.sidecar, held.report, held.student)
    assert card == (ROOT / "docs" / "ai" / "models" / f"{row.id}.md").read_bytes()


def test_the_shipped_index_follows_from_the_sidecars_byte_by_byte():
    tree = Tree(ROOT)
    made = index_of({row.id: tree.sidecar(row) for row in FILLED}, tree.other_entries())
    assert made == (ROOT / "model" / "tiny" / "registry.json").read_bytes()


def test_model_tiny_holds_exactly_the_files_of_a_sync():
    models = ROOT / "model" / "tiny"
    files = {
        path.relative_to(models).as_posix(): path.read_bytes()
        for path in models.rglob("*")
        if path.is_file()
    }
    assert Tree(ROOT).wanted_files({}) == files


def test_only_rows_of_the_table_are_shipped():
    assert place_of("linear", "canonical", DEFAULT_TEACHER.name) is None
    assert place_of("quartic", "canonical", DEFAULT_TEACHER.name) is None
    assert place_of("linear", "canonical", "vmaf_4k_v0.6.1") is None
    assert place_of("mlp_small", "canonical", "vmaf_4k_v0.6.1neg") is None
    assert place_of("quartic", "canonical", "vmaf_v1.0.16_3d0h").id == "vmaf_v1_tiny"
    found = [place_of(row.arch or "mlp_small", row.features, row.teacher) for row in FILLED]
    assert found == FILLED


def test_opinion_scores_have_a_place_of_their_own_for_every_shipped_arch():
    places = {
        (arch, targets): place_of(arch, "canonical", DEFAULT_TEACHER.name, targets)
        for arch in ("mlp_small", "quartic")
        for targets in (MOS, HYBRID)
    }
    assert {place.id for place in places.values()} == {"vmaf_tiny_mos"}
    for arch, features in (("linear", "canonical"), ("mlp_small", "lite")):
        assert place_of(arch, features, DEFAULT_TEACHER.name, MOS) is None


@pytest.mark.parametrize("row", FILLED, ids=lambda row: row.id)
def test_the_example_has_a_value_for_every_feature_of_a_shipped_model(row):
    assert set(FEATURE_SETS[row.features].features) <= set(EXAMPLE)
