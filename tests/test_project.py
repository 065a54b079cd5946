"""The house rules that no module can hold by itself."""

import ast
import json
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml

from vmaf_train.cli import app
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.shipping.in_tree import SHIPPED

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "vmaf_train"
# From the ground up; a module that lies in no folder is on the ground floor or on the top floor. A
# module imports from its own floor and from those below. Folders of one row do not import each
# other.
FOLDERS = [
    {"clips", "teacher", "onnx_file"},
    {"extraction"},
    {"frames"},
    {"students"},
    {"judging"},
    {"tracking"},
    {"shipping"},
    {"commands"},
]
TOP = {"__main__", "cli", "console", "corpus_options", "exits", "options", "terminal", "upkeep"}
HEAVY = {
    "torch": {"students"},
    "lightning": {"students"},
    "mlflow": {"tracking", "shipping"},
    "distributed": {"extraction.cluster"},
    "typer": {"cli", "exits", "options", "upkeep"},
    "rich": {"console", "terminal"},
}


# The picture of the architecture is drawn from the same modules and imports.
PICTURE = runpy.run_path(str(ROOT / "docs" / "images" / "architecture.py"))
imports_of, MODULES = PICTURE["imports_of"], PICTURE["modules"]()


def floor_of(module: str) -> int:
    """Return the floor of a module or folder, counted from the ground."""
    own = module.partition(".")[0]
    if own in TOP:
        return len(FOLDERS) + 1
    return next((level for level, row in enumerate(FOLDERS, 1) if own in row), 0)


def test_every_folder_stands_on_a_floor():
    folders = {name.partition(".")[0] for name in MODULES if "." in name}
    assert folders == set.union(*FOLDERS)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_its_own_floor_and_from_those_below(module):
    own, level = module.partition(".")[0], floor_of(module)
    for name in imports_of(MODULES[module]):
        if name.startswith("vmaf_train."):
            other = name.split(".")[1]
            lower = floor_of(other) < level
            same = other == own or floor_of(other) == level in (0, len(FOLDERS) + 1)
            assert lower or same, f"{module} imports {name}"


@pytest.mark.parametrize("module", MODULES)
def test_heavy_libraries_are_imported_only_in_their_folders(module):
    for name in imports_of(MODULES[module]):
        rooms = HEAVY.get(name.partition(".")[0])
        assert rooms is None or {module, module.partition(".")[0]} & rooms, (
            f"{module} imports {name}"
        )


@pytest.mark.parametrize(
    "folder", sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file())
)
def test_a_folder_says_what_goes_in_and_out_and_where_to_start_and_reexports_nothing(folder):
    tree = ast.parse((PACKAGE / folder / "__init__.py").read_text())
    said = ast.get_docstring(tree) or ""
    assert len(tree.body) == 1
    start = re.search(r"^Start with (\w+\.py)", said, flags=re.M)
    assert "\nIn: " in said and " Out: " in said and start
    assert (PACKAGE / folder / start[1]).is_file()


def test_prewarm_needs_neither_torch_nor_mlflow_nor_matplotlib():
    heavy = {"torch", "mlflow", "matplotlib", "scipy.stats", "pyarrow"}
    code = (
        "import sys, vmaf_train.cli, vmaf_train.commands.prewarm; "
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def lengths_of(path: Path, kind: type[ast.AST]) -> dict[str, int]:
    """Return the number of lines of each definition of a kind in a file, by name."""
    tree = ast.parse(path.read_text())
    return {
        f"{path.name}: {node.name}": node.end_lineno - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, kind)
    }


def test_no_source_file_is_longer_than_400_lines():
    lengths = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name: n for name, n in lengths.items() if n > 400} == {}


@pytest.mark.parametrize(("kind", "most"), [(ast.ClassDef, 150), (ast.FunctionDef, 60)])
def test_no_class_is_longer_than_150_lines_and_no_function_than_60(kind, most):
    lengths = [lengths_of(path, kind) for path in MODULES.values()]
    assert {name: n for each in lengths for name, n in each.items() if n > most} == {}


def entry_points() -> dict[str, dict[str, object]]:
    return yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]


def test_mlproject_and_the_command_line_have_the_same_commands():
    commands = typer.main.get_command(app).commands
    assert set(entry_points()) <= set(commands)


@pytest.mark.parametrize("name", sorted(entry_points()))
def test_an_entry_point_has_the_parameters_and_defaults_of_its_command(name):
    entry = entry_points()[name]
    options = {option.name: option for option in typer.main.get_command(app).commands[name].params}
    assert set(entry["parameters"]) == set(options)
    for key, parameter in entry["parameters"].items():
        assert ("default" in parameter) != options[key].required, key
        if "default" in parameter:
            default = getattr(options[key].default, "value", options[key].default)
            assert parameter["default"] == str(default), key
        assert f"--{key.replace('_', '-')} {{{key}}}" in " ".join(entry["command"].split())
    assert f"PYTHONPATH=src python -m vmaf_train {name} " in entry["command"]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines)


def test_constraints_hold_exact_versions_and_name_no_host():
    text = (ROOT / "constraints.txt").read_text()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in text.splitlines())
    assert pins()["torch"] == "2.13.0"


def test_conda_yaml_pins_the_dependencies_of_pyproject_at_the_constraints_versions():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"[<>=]", line)[0] for line in project["dependencies"]}
    pip = yaml.safe_load((ROOT / "conda.yaml").read_text())["dependencies"][-1]["pip"]
    assert dict(line.split("==") for line in pip) == {name: pins()[name] for name in needed}


def test_the_command_line_reference_is_that_of_the_code(tmp_path):
    made = tmp_path / "cli.md"
    command = [
        sys.executable,
        "-m",
        "typer",
        "vmaf_train.cli",
        "utils",
        "docs",
        "--name",
        "vmaf-train",
    ]
    subprocess.run([*command, "--output", str(made)], check=True, capture_output=True)
    assert made.read_text() == (ROOT / "docs" / "cli.md").read_text(), (
        f"run: {' '.join(command[1:])} --output docs/cli.md"
    )


def test_every_mlflow_run_line_in_the_readme_and_docs_names_a_real_entry_point_and_its_parameters():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    lines = re.findall(
        r"^ *mlflow run \. .*", "\n".join(page.read_text() for page in pages), flags=re.M
    )
    assert len(lines) >= 5
    for line in lines:
        entry = re.search(r" -e (\w+)", line)
        known = entry_points()[entry[1] if entry else "main"]["parameters"]
        assert set(re.findall(r"-P (\w+)=", line)) <= set(known), line


def test_the_readmes_python_runs_on_the_shipped_student(monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    exec(code, names)
    assert 0 <= names["scores"][0] <= 100


def test_the_servers_answer_on_the_scoring_page_is_that_of_the_shipped_default():
    page = (ROOT / "docs" / "score.md").read_text()
    (request,) = re.findall(r"-d '(.*)'", page)
    (answer,) = re.findall(r"```json\n(.*)\n```", page)
    rows = np.array(json.loads(request)["inputs"]["features"])
    student = OnnxStudent((ROOT / "model" / "tiny" / "vmaf_tiny_v1.onnx").read_bytes(), "default")
    assert json.loads(answer)["predictions"]["vmaf"] == pytest.approx(student.score(rows).tolist())


def test_the_shipping_page_lists_what_is_shipped():
    page = (ROOT / "docs" / "shipping.md").read_text()
    for row in SHIPPED:
        arch = f"`{row.arch}`" if row.arch else "any of these"
        files = f"`{row.id}.onnx`, `{row.id}.json`"
        assert f"| `{row.alias}` | {arch} | `{row.features}` | {files}" in page
