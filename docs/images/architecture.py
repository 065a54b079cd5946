"""Draw the floors of the package and what each folder imports, as docs/images/architecture.svg.

Usage: python docs/images/architecture.py [FILE.svg]
The order of the floors is that of FOLDERS in tests/test_project.py. The imports are read from the
source text; nothing of the package is run. A row is a folder, and so is a column. A mark stands
where the folder of the row imports from that of the column.
"""

import ast
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "vmaf_train"
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
RULES = ROOT / "tests" / "test_project.py"
# Names of the two floors whose modules lie in no folder.
TOP, GROUND = "top floor", "ground floor"
# Libraries that take long to import, or that only one floor should know.
HEAVY = ("torch", "lightning", "mlflow", "distributed", "typer", "rich")

# In pixels.
TEXT, LEFT, HEAD, ROW, CELL, GAP = 600, 16, 104, 46, 26, 18
INK, PALE, MARK, LIBRARY = "#1f2933", "#eef2f6", "#1f6feb", "#b35900"


@dataclass(frozen=True)
class Row:
    """A folder, or the modules of one floor that lie in no folder.

    Attributes:
        name: of the folder.
        purpose: the first line of its docstring, or the names of the modules.
        imports: names of other rows and of heavy libraries.
    """

    name: str
    purpose: str
    imports: frozenset[str]


def modules() -> dict[str, Path]:
    """Return every module that is not a folder's own, by its name below the package."""
    paths = [path for path in sorted(PACKAGE.rglob("*.py")) if not path.stem.startswith("__")]
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in paths}


def imports_of(path: Path) -> set[str]:
    """Return the full names that a module imports, inside functions too."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        # What only a type checker reads is no import.
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def rows_of_package() -> list[Row]:
    """Return the rows, from the top floor to the ground floor."""
    floors, top = _rule("FOLDERS"), _rule("TOP")
    folders = [name for floor in floors for name in sorted(floor)]
    row_of = {name: name for name in folders} | dict.fromkeys(top, TOP)
    members: dict[str, set[str]] = {GROUND: set(), **{name: set() for name in folders}, TOP: set()}
    imports: dict[str, set[str]] = {name: set() for name in members}

    for module, path in modules().items():
        own = module.partition(".")[0]
        row = row_of.setdefault(own, GROUND)
        members[row].add(own)
        imports[row] |= {_head(name) for name in imports_of(path)}

    return [
        Row(
            name=name,
            purpose=", ".join(sorted(members[name])) if name in (TOP, GROUND) else _purpose(name),
            imports=frozenset({row_of.get(head, head) for head in imports[name]} - {name}),
        )
        for name in reversed(members)
    ]


def _rule(name: str) -> Any:
    """Return the value of a constant in the rules, which is a literal."""
    for node in ast.parse(RULES.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise SystemExit(f"{RULES} has no constant {name}")


def _head(name: str) -> str:
    """Return the folder or module of the package that a name is in, or else its library."""
    parts = name.split(".")
    return parts[1] if parts[0] == PACKAGE.name and len(parts) > 1 else parts[0]


def _purpose(folder: str) -> str:
    said = ast.get_docstring(ast.parse((PACKAGE / folder / "__init__.py").read_text())) or ""
    return said.partition("\n")[0]


def draw(rows: list[Row]) -> str:
    """Return the picture as SVG text."""
    columns = [row.name for row in reversed(rows)][:-1]
    n_cells = len(columns) + len(HEAVY)
    width = LEFT + TEXT + GAP + n_cells * CELL + GAP + LEFT
    height = HEAD + len(rows) * ROW + LEFT
    at = {name: LEFT + TEXT + GAP + index * CELL for index, name in enumerate(columns)}
    start = LEFT + TEXT + GAP + len(columns) * CELL + GAP
    at |= {name: start + index * CELL for index, name in enumerate(HEAVY)}

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" fill="{INK}">',
        "<title>Folders of vmaf-train, and what each of them imports</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="{HEAD - 12}" font-size="13">a folder …</text>',
        f'<text x="{LEFT + TEXT}" y="{HEAD - 12}" font-size="13" text-anchor="end">'
        "… imports</text>",
    ]
    lines += [
        f'<text transform="translate({x + 17} {HEAD - 10}) rotate(-60)" font-size="12">'
        f"{escape(name)}</text>"
        for name, x in at.items()
    ]
    for index, row in enumerate(rows):
        lines += _draw_row(row, HEAD + index * ROW, at, columns)
    return "\n".join([*lines, "</svg>", ""])


def _draw_row(row: Row, y: int, at: dict[str, int], columns: Iterable[str]) -> list[str]:
    box = f'height="{ROW - 4}" rx="3"'
    lines = [
        f'<rect x="{LEFT}" y="{y}" width="{TEXT}" {box} fill="{PALE}"/>',
        f'<text x="{LEFT + 10}" y="{y + 18}" font-size="14" font-weight="bold">'
        f"{escape(row.name)}</text>",
        f'<text x="{LEFT + 10}" y="{y + 34}" font-size="11">{escape(row.purpose)}</text>',
    ]
    for name, x in at.items():
        lines.append(f'<rect x="{x}" y="{y}" width="{CELL - 3}" {box} fill="{PALE}"/>')
        if name in row.imports:
            colour = MARK if name in columns else LIBRARY
            lines.append(
                f'<circle cx="{x + (CELL - 3) / 2}" cy="{y + ROW / 2 - 2}" r="6" fill="{colour}">'
                f"<title>{escape(row.name)} imports {escape(name)}</title></circle>"
            )
    return lines


def main() -> None:
    picture = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE
    picture.write_text(draw(rows_of_package()))


if __name__ == "__main__":
    main()
