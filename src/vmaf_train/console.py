"""Lines on standard error and tables, for people; text from outside cannot steer the terminal."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

err = Console(stderr=True, highlight=False, soft_wrap=True)


def tell(line: str) -> None:
    """Print a line on standard error."""
    err.print(shown(line), markup=False)


def shown(text: str) -> str:
    r"""Return a text with what cannot be printed escaped, such as \x1b, but for ends of lines."""
    return "".join(
        each if each.isprintable() or each == "\n" else each.encode("unicode_escape").decode()
        for each in text
    )


def number_table(title: str, columns: Sequence[str]) -> Table:
    """Return a table: the first column names the rows, the others hold numbers."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right")
    return table


def print_table(table: Table, width: int) -> None:
    """Print a table with the width of the terminal, or with `width` if there is none."""
    Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else width).print(
        table
    )
