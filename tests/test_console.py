"""Text from outside, on a terminal."""

from rich.table import Table

from vmaf_train.console import print_table, shown, tell


def test_escape_codes_and_broken_names_are_shown_and_not_obeyed(capsys):
    tell("left out: \x1b[31mred\x07 \udc80.yuv")
    assert capsys.readouterr().err == "left out: \\x1b[31mred\\x07 \\udc80.yuv\n"


def test_other_languages_and_ends_of_lines_stay(capsys):
    assert shown("Größe 映画\nzwei") == "Größe 映画\nzwei"


def test_brackets_in_a_table_are_no_markup(capsys):
    table = Table(title="[red]it[/foo]")
    table.add_column("a wide column")
    print_table(table, 40)
    assert "[red]it[/foo]" in capsys.readouterr().out
