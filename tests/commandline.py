"""The command line as tests use it: run a command in this process, name the files it wrote."""

from pathlib import Path

from typer.testing import CliRunner, Result

from vmaf_train.cli import app

# Size of the files of `write_corpus`, as an option.
DIMS = ["--assume-dims", "64x64"]


def call(*words: object) -> Result:
    """Run a command in this process; words are turned into text."""
    return CliRunner().invoke(app, [str(word) for word in words])


def files_below(*folders: Path) -> list[Path]:
    """Return all files below some folders, sorted."""
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
