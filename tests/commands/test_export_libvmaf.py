"""`export`: the file for libvmaf, the line that uses it, and nothing after an error."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from commandline import call, files_below
from conftest import write_corpus

from vmaf_train.commands.export import export_libvmaf

ROOT = Path(__file__).parents[2]
EXACT = ROOT / "model" / "tiny" / "vmaf_tiny_exact.onnx"


@pytest.fixture
def two_videos(ffmpeg, tmp_path):
    """Put distorted.mp4 and reference.mp4 into the working folder."""
    corpus = write_corpus(tmp_path / "c", sources=("Alpha",), rungs=1)
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "64x64", "-i"]
    for kind, name in (("dis", "distorted.mp4"), ("ref", "reference.mp4")):
        (path,) = (corpus / kind).iterdir()
        command = [ffmpeg.path, "-v", "error", *raw, path, "-c:v", "libx264", "-qp", "0", name]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def run_line(line, ffmpeg):
    """Run an ffmpeg line of a page; return what it printed."""
    program, *words = shlex.split(line)
    assert program == "ffmpeg"
    command = [ffmpeg.path, "-nostdin", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_export_prints_the_file_its_error_and_a_line_that_works(ffmpeg, two_videos, tmp_path):
    out = tmp_path / "it's mine.json"
    done = call("export", "vmaf_tiny_exact", "--format", "libvmaf", "--out", out)
    assert done.exit_code == 0, done.output
    first, error, use = done.output.splitlines()
    size = out.stat().st_size
    assert first == f"{out}: vmaf_tiny_exact, a polynomial of degree 5, 462 points, {size} bytes"
    assert float(error.split()[-3]) < 1e-9

    assert "VMAF score: " in run_line(use.removeprefix("use it: "), ffmpeg)


@pytest.mark.parametrize("page", ["README.md", "docs/libvmaf.md"])
def test_the_ffmpeg_lines_of_the_pages_work(page, ffmpeg, two_videos):
    lines = re.findall(r"^ffmpeg .*", (ROOT / page).read_text(), flags=re.M)
    assert lines
    for line in lines:
        (model,) = re.findall(r"[=']path=([\w./]+)", line)
        Path(model).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / model, model)
        assert "score: " in run_line(line, ffmpeg)
    if page == "docs/libvmaf.md":
        logs = {path: json.loads(Path(path).read_text()) for path in ("scores.json", "both.json")}
        assert "vmaf" in logs["scores.json"]["frames"][0]["metrics"]
        both = logs["both.json"]["frames"][0]["metrics"]
        assert both["student"] == pytest.approx(both["vmaf"], abs=0.5)


@pytest.mark.parametrize("name", ["run", "runs", "registered", "path", "id"])
def test_a_student_is_found_by_every_kind_of_name(name, ids, tmp_path):
    names = {
        "run": ids["quintic"],
        "runs": f"runs:/{ids['quintic']}/quintic.onnx",
        "registered": "models:/vmaf_tiny@exact",
        "path": EXACT,
        "id": "vmaf_tiny_exact",
    }
    if name == "registered":
        call("register", "--run-id", ids["quintic"], "--allow-dirty", "yes")
    done = call("export", names[name], "--out", tmp_path / "it.json")
    assert done.exit_code == 0, done.output
    assert "a polynomial of degree 5, 462 points" in done.output


def test_the_same_student_gives_the_same_bytes(tmp_path):
    one, other = (export_libvmaf(str(EXACT), tmp_path / name) for name in ("one", "other"))
    assert one.path.read_bytes() == other.path.read_bytes() == one.model.content


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["vmaf_tiny_v1", "--out", "it.json"], "train --arch quintic --features canonical gives"),
        (["no_such", "--out", "it.json"], "no model no_such: looked for"),
        (["vmaf_tiny_exact", "--out", "none/it.json"], "cannot write none/it.json: No such file"),
    ],
)
def test_an_error_is_bad_input_and_writes_nothing(words, message):
    before = files_below(Path())
    done = call("export", *words)
    assert (done.exit_code, message in done.output) == (2, True), done.output
    assert files_below(Path()) == before == []


def test_a_file_that_was_there_is_kept_after_an_error(tmp_path):
    out = tmp_path / "it.json"
    out.write_text("mine")
    assert call("export", "vmaf_tiny_v1", "--out", out).exit_code == 2
    assert files_below(tmp_path) == [out] and out.read_text() == "mine"
