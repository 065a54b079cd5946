"""The commit of the checkout, and whether it has uncommitted changes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = Path("src") / "vmaf_train"


def find_in(folder: Path) -> list[str]:
    """Return commit and dirty flag as the package in a folder finds them."""
    code = (
        "from vmaf_train.tracking.checkout import find_checkout; "
        "found = find_checkout(); print(found.commit, found.dirty)"
    )
    env = {**os.environ, "PYTHONPATH": str(folder / "src")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.fixture
def clone(tmp_path):
    """Return a clean clone that holds the package as it is here, and its commit."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(ROOT), str(clone)], check=True)
    shutil.copytree(ROOT / PACKAGE, clone / PACKAGE, dirs_exist_ok=True)
    git = ["git", "-C", str(clone), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qam", "as it is here", "--allow-empty"], check=True)
    head = [*git, "rev-parse", "HEAD"]
    done = subprocess.run(head, capture_output=True, text=True, check=True)
    return clone, done.stdout.strip()


def test_uncommitted_code_makes_a_checkout_dirty_and_promoted_files_do_not(clone):
    folder, commit = clone
    (folder / "model" / "tiny" / "new.onnx").write_bytes(b"")
    assert find_in(folder) == [commit, "false"]
    (folder / "src" / "new.py").write_text("")
    assert find_in(folder) == [commit, "true"]


def test_a_package_outside_any_checkout_has_no_commit(tmp_path):
    shutil.copytree(ROOT / PACKAGE, tmp_path / PACKAGE)
    assert find_in(tmp_path) == ["unknown", "unknown"]
