"""`export`: the file for libvmaf, the line that uses it, and nothing after an error."""

import shlex
import subprocess
from pathlib import Path

import pytest
from commandline import call, files_below
from conftest import write_corpus

from vmaf_train.commands.export import export_libvmaf

ROOT = Path(__file__).parents[2]
EXACT = ROOT / "model" / "tiny" / "vmaf_tiny_exact.onnx"


def test_export_prints_the_file_its_error_and_a_line_that_works(ffmpeg, tmp_path):
    out = tmp_path / "it's mine.json"
    done = call("export", "vmaf_tiny_exact", "--format", "libvmaf", "--out", out)
    assert done.exit_code == 0, done.output
    first, error, use = done.output.splitlines()
    size = out.stat().st_size
    assert first == f"{out}: vmaf_tiny_exact, a polynomial of degree 5, 462 points, {size} bytes"
    assert float(error.split()[-3]) < 1e-9

    corpus = write_corpus(tmp_path / "c", sources=("Alpha",), rungs=1)
    videos = {
        "distorted.mp4": next((corpus / "dis").iterdir()),
        "reference.mp4": next((corpus / "ref").iterdir()),
    }
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "64x64", "-i"]
    for name, path in videos.items():
        command = [ffmpeg.path, "-v", "error", *raw, path, "-c:v", "libx264", "-qp", "0", name]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    program, *words = shlex.split(use.removeprefix("use it: "))
    assert program == "ffmpeg"
    ran = subprocess.run([ffmpeg.path, "-nostdin", *words], capture_output=True, text=True)
    assert ran.returncode == 0 and "VMAF score: " in ran.stderr, ran.stderr


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
