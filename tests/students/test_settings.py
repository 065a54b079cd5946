"""Settings are light: commands import them before they need torch."""

import subprocess
import sys

import pytest

from vmaf_train.errors import InputError
from vmaf_train.students.settings import Settings


def test_importing_the_settings_imports_neither_torch_nor_numpy():
    code = (
        "import sys, vmaf_train.students.settings\n"
        "print(sorted({'torch', 'numpy', 'onnx'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_settings_are_given_by_name():
    with pytest.raises(TypeError):
        Settings(30, 64)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", float("inf")),
        ("lr", float("nan")),
        ("lr", -1.0),
        ("batch_size", 10**9),
        ("teacher_points", 10**9),
        ("mos_weight", float("nan")),
    ],
)
def test_numbers_out_of_their_limits_are_refused(name, value):
    with pytest.raises(InputError, match=f"^{name} .* is not from"):
        Settings(**{name: value})
