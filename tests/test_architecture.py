"""The page on the architecture: its picture, its names and its examples are those of the code."""

import ast
import importlib
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import write_corpus

from vmaf_train.clips import layouts
from vmaf_train.clips.layouts import LAYOUTS, scan
from vmaf_train.clips.video import YuvFormat
from vmaf_train.extraction.libvmaf import Ffmpeg
from vmaf_train.extraction.schedule import Pass
from vmaf_train.features import CANONICAL
from vmaf_train.shipping.gates import Allowed
from vmaf_train.students.architectures import Student
from vmaf_train.teacher.teachers import DEFAULT_TEACHER, ROWS, find_teacher

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "vmaf_train"
PAGES = [ROOT / "docs" / "architecture.md", ROOT / "docs" / "decisions" / "0003-folders.md"]
PAGES += [ROOT / "CONTRIBUTING.md"]
SMALL = YuvFormat(160, 90)
# In backticks, but not names of this package.
FOREIGN = {".venv/bin/python", "--arch", "models:/"}


def test_the_picture_is_the_one_that_the_imports_give(tmp_path):
    drawn = tmp_path / "architecture.svg"
    script = ROOT / "docs" / "images" / "architecture.py"
    subprocess.run([sys.executable, script, drawn], check=True)
    committed = (ROOT / "docs" / "images" / "architecture.svg").read_text()
    assert drawn.read_text() == committed, "run: python docs/images/architecture.py"


def test_the_picture_changes_with_an_import_between_folders(tmp_path):
    before = drawn_from(tmp_path / "before", "")
    assert drawn_from(tmp_path / "import", "from vmaf_train.clips import video\n") != before
    assert drawn_from(tmp_path / "line", "\n") == before


def drawn_from(root, line):
    """Draw a copy of the package that has one more line in teacher/points.py."""
    for path in [*PACKAGE.rglob("*.py"), ROOT / "tests" / "test_project.py"]:
        copy = root / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text() + line * (path.name == "points.py"))
    script = root / "docs" / "images" / "architecture.py"
    script.parent.mkdir(parents=True)
    script.write_text((ROOT / "docs" / "images" / "architecture.py").read_text())
    subprocess.run([sys.executable, script], check=True)
    return script.with_suffix(".svg").read_text()


def quoted(page):
    """Return what stands in backticks on a page, without its blocks of code."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    return sorted(set(re.findall(r"`([^`\n]+)`", text)) - FOREIGN)


def names_in_code():
    """Return the names of all classes, functions, constants and fields, in tests too."""
    found = set()
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                found.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
    return found


def is_there(dotted):
    """Tell whether a name such as `frames.table.FrameTable` can be imported from the package."""
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(["vmaf_train", *parts[:cut]]))
        except ModuleNotFoundError:
            continue
        for name in parts[cut:]:
            found = getattr(found, name, None)
        return found is not None
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_path_and_name_on_the_page_exists(page):
    known, seen = names_in_code(), 0
    for text in quoted(page):
        if re.fullmatch(r"[\w./-]+/[\w./-]*|[\w-]+\.(py|md|txt|yaml|toml|svg)", text):
            places = (ROOT, PACKAGE, PACKAGE / "clips")
            assert any((place / text).exists() for place in places), text
        elif re.fullmatch(r"[a-z_]+(\.\w+)+", text):
            assert is_there(text), text
        elif re.fullmatch(r"[A-Z][A-Za-z_]+", text):
            assert text in known, text
        else:
            continue
        seen += 1
    assert seen >= 5


def links(page):
    return re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_on_the_page_leads_somewhere(page):
    for target in links(page):
        assert (page.parent / target).exists(), target


def test_the_page_names_every_folder():
    table = PAGES[0].read_text().partition("## What passes")[2].partition("\n## ")[0]
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert set(re.findall(r"^\| (\w+) \|", table, flags=re.M)) == folders | {"floor"}


def test_the_record_of_the_tower_has_the_floors_of_the_rules():
    (tower,) = re.findall(r"```text\n(.*?)```", PAGES[1].read_text(), flags=re.S)
    heads = [re.findall(r"([a-z_]+)/", re.split("  +", line)[0]) for line in tower.splitlines()]
    rules = runpy.run_path(str(ROOT / "tests" / "test_project.py"))
    assert [set(floor) for floor in heads if floor] == rules["FOLDERS"][::-1]


def example(number):
    """Run an example in the namespace of the module that its first line names, if it names one.

    Returns:
        Its names, with the row that it ends in as `row`.
    """
    code = re.findall(r"```python\n(.*?)```", PAGES[0].read_text(), flags=re.S)[number]
    first, names = code.partition("\n")[0], {}
    if module := re.search(r"([a-z_/]+)\.py$", first):
        names |= vars(importlib.import_module(f"vmaf_train.{module[1].replace('/', '.')}"))
    *statements, last = ast.parse(code).body
    if isinstance(last, ast.Expr):
        last = ast.parse(f"row = {ast.unparse(last.value)}").body[0]
    exec(compile(ast.Module([*statements, last], []), "example", "exec"), names)
    return names


def test_the_example_of_an_architecture_builds_a_student():
    row = example(0)["row"]
    # A wrong number of parameters is an error here.
    student = Student(row, CANONICAL.features, DEFAULT_TEACHER)
    assert student.n_parameters == row.parameters


def test_the_example_of_a_feature_set_gives_what_the_whole_pass_gives(ffmpeg, tmp_path):
    row = example(1)["row"]
    (pair, *_) = scan(write_corpus(tmp_path / "c", dims=(160, 90)), SMALL).pairs
    (whole,) = ffmpeg.extract(Pass((pair,)))
    x_NF, _ = ffmpeg.features(pair.ref, pair.dis, row, threads=0)
    columns = [whole.features.index(name) for name in row.features]
    assert x_NF.tolist() == whole.x_NF[:, columns].tolist()


def test_the_example_of_a_teacher_agrees_with_libvmaf_and_can_be_chosen(
    ffmpeg, tmp_path, monkeypatch
):
    monkeypatch.setitem(ROWS, "vmaf_4k_v0.6.1neg", example(2)["row"])
    row = find_teacher("vmaf_4k_v0.6.1neg")
    (pair, *_) = scan(write_corpus(tmp_path / "c", dims=(160, 90)), SMALL).pairs
    (scores,) = Ffmpeg(ffmpeg.path, [row]).extract(Pass((pair,), teachers=(row.name,)))
    assert np.abs(row.score(scores.x_NF, scores.features) - scores.scores[row.name]).max() < 2e-4
    assert example(3)["choice"].teacher is find_teacher("vmaf_4k_v0.6.1")


def test_the_example_of_a_layout_lists_a_folder(tmp_path, monkeypatch):
    for name in ("ref_Alpha", "dis_Alpha_low", "dis_Alpha_high", "dis_Beta_low"):
        (tmp_path / f"{name}.yuv").write_bytes(bytes(2 * SMALL.frame_bytes))
    monkeypatch.setattr(layouts, "find_flat", example(4)["find_flat"], raising=False)
    row = example(5)["row"]
    monkeypatch.setattr(layouts, "LAYOUTS", (row, *LAYOUTS))
    found = scan(tmp_path, SMALL)
    assert [pair.clip for pair in found.pairs] == ["dis_Alpha_high", "dis_Alpha_low"]
    assert {(pair.source, pair.n_frames) for pair in found.pairs} == {("Alpha", 2)}
    assert found.left_out == ("dis_Beta_low.yuv: no reference ref_Beta.yuv",)
    assert not row.recognises(write_corpus(tmp_path / "c"))


def test_the_example_of_a_gate_refuses_a_large_file():
    gate, allowed = example(6)["small_file"], Allowed(worse=False, dirty=False)
    for n_bytes, passed in ((100_000, True), (100_001, False)):
        candidate = SimpleNamespace(student=SimpleNamespace(content=bytes(n_bytes)))
        outcome = gate(candidate, allowed)
        assert (outcome.passed, outcome.fact) == (passed, f"{n_bytes} bytes")
