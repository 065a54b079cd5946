"""A student by its name: names that each command accepts, and errors for others."""

import subprocess
import sys
from pathlib import Path

import pytest

from vmaf_train.errors import InputError
from vmaf_train.shipping.finding import FOR_EVALUATE, FOR_EXPORT, FOR_SCORE, find_student

ROOT = Path(__file__).parents[2]
LITE = ROOT / "model" / "tiny" / "vmaf_tiny_lite.onnx"
RUN = "f" * 32


@pytest.mark.parametrize("kinds", [FOR_EVALUATE, FOR_SCORE], ids=["evaluate", "score"])
def test_a_path_names_a_file(kinds):
    found = find_student(str(LITE), kinds)
    assert found.student.content == LITE.read_bytes()
    assert (found.name, found.path) == ("vmaf_tiny_lite", LITE)


def test_an_id_is_looked_up_in_the_working_folder_and_then_in_the_checkout():
    assert find_student("vmaf_tiny_lite", FOR_SCORE).path == LITE
    copy = Path("model", "tiny", LITE.name).absolute()
    copy.parent.mkdir(parents=True)
    copy.write_bytes(LITE.read_bytes())
    copy.with_suffix(".json").write_bytes(LITE.with_suffix(".json").read_bytes())
    assert find_student("vmaf_tiny_lite", FOR_SCORE).path == copy


@pytest.mark.parametrize("address", [RUN, "models:/vmaf_tiny/7", f"runs:/{RUN}/it.onnx"])
def test_evaluate_asks_mlflow_for_run_ids_and_uris(address, store):
    with pytest.raises(InputError, match=f"MLflow has no usable {address} in .*; check the id"):
        find_student(address, FOR_EVALUATE)


def test_score_asks_mlflow_only_for_registered_models(store):
    with pytest.raises(InputError, match="MLflow has no usable models:/vmaf_tiny/7"):
        find_student("models:/vmaf_tiny/7", FOR_SCORE)
    for name in (RUN, f"runs:/{RUN}"):
        with pytest.raises(InputError, match=f"no model {name}: looked for "):
            find_student(name, FOR_SCORE)


def test_evaluate_accepts_no_ids():
    with pytest.raises(InputError, match="no model 'vmaf_tiny_lite'; pass a run id,"):
        find_student("vmaf_tiny_lite", FOR_EVALUATE)


@pytest.mark.parametrize("address", [RUN, "models:/vmaf_tiny/7", f"runs:/{RUN}/it.onnx"])
def test_export_accepts_every_kind_of_name(address, store):
    with pytest.raises(InputError, match=f"MLflow has no usable {address}"):
        find_student(address, FOR_EXPORT)
    assert find_student(str(LITE), FOR_EXPORT).path == LITE
    assert find_student("vmaf_tiny_lite", FOR_EXPORT).path == LITE


def test_a_missing_file_is_named_with_the_choices():
    with pytest.raises(
        InputError,
        match=r"no file none\.onnx; pass a models:/ URI, the path of an \.onnx file or the id of",
    ):
        find_student("none.onnx", FOR_SCORE)


def test_a_file_that_is_not_a_model_is_refused(tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(InputError, match=r"text\.onnx: not a valid ONNX file"):
        find_student(str(tmp_path / "text.onnx"), FOR_SCORE)


def test_paths_and_ids_are_found_without_mlflow():
    code = f"""
import sys
from vmaf_train.shipping.finding import FOR_EVALUATE, FOR_SCORE, find_student
find_student({str(LITE)!r}, FOR_EVALUATE)
find_student("vmaf_tiny_lite", FOR_SCORE)
print("mlflow" in sys.modules)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_retired_id_is_refused_with_what_to_use_instead():
    with pytest.raises(InputError, match="vmaf_tiny_fast is no longer shipped: "):
        find_student("vmaf_tiny_fast", FOR_SCORE)
