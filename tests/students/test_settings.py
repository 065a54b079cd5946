"""Settings are light: commands import them before they need torch."""

import subprocess
import sys

import pytest

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
