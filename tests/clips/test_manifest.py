"""Manifests: which pairs a CSV file names, and which files are refused."""

from pathlib import Path

import pytest

from vmaf_train.clips.manifest import PairRow, read_pairs
from vmaf_train.errors import InputError


def read(tmp_path, content, encoding="utf-8"):
    path = tmp_path / "pairs.csv"
    path.write_text(content, encoding=encoding)
    return read_pairs(path, "64x64", "yuv420p")


def test_relative_paths_start_at_the_folder_of_the_manifest(tmp_path):
    (row,) = read(tmp_path, "ref,dis\na.mkv,/b.mkv\n")
    assert (row.ref, row.dis) == (tmp_path / "a.mkv", Path("/b.mkv"))


def test_a_row_states_size_and_pixel_format_or_takes_those_of_the_command(tmp_path):
    rows = read(tmp_path, "dis,ref,size,pix_fmt\nb,a,16x16,yuv444p\nd,c,,\n")
    assert [(row.size, row.pix_fmt) for row in rows] == [("16x16", "yuv444p"), ("64x64", "yuv420p")]


def test_only_a_raw_file_needs_size_and_pixel_format():
    raw, coded = (PairRow(Path("a"), Path(dis), "64x64", "yuv420p") for dis in ("b.yuv", "b.mkv"))
    assert (raw.stated, coded.stated) == (("64x64", "yuv420p"), ("", ""))


def test_the_byte_order_mark_of_a_spreadsheet_is_ignored(tmp_path):
    content = "ref,dis\na.mkv,b.mkv\n"
    assert read(tmp_path, content, encoding="utf-8-sig") == read(tmp_path, content)


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "ref,dis\n"])
def test_a_manifest_without_pairs_is_refused(content, tmp_path):
    with pytest.raises(InputError, match="no row with the columns ref and dis"):
        read(tmp_path, content)


@pytest.mark.parametrize("row", ["a.mkv", "a.mkv,", ",b.mkv"])
def test_a_row_without_ref_or_dis_is_refused(row, tmp_path):
    with pytest.raises(InputError, match="row 2 of 2 lacks ref or dis"):
        read(tmp_path, f"ref,dis\na.mkv,b.mkv\n{row}\n")


def test_a_manifest_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot read the list"):
        read_pairs(tmp_path / "none.csv", "", "yuv420p")
    with pytest.raises(InputError, match="cannot read the list"):
        read(tmp_path, "ref,dis\n\xe4,b\n", encoding="latin-1")
