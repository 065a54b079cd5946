"""The table of layouts: which one is taken, and that every layout gets the same checks."""

import pytest
from conftest import write_corpus

from vmaf_train.clips import layouts
from vmaf_train.clips.layouts import LAYOUTS, Layout, find_layout, scan
from vmaf_train.clips.pairs import Listing, Reading
from vmaf_train.clips.video import YuvFormat
from vmaf_train.errors import InputError

SMALL = YuvFormat(64, 64)


def test_the_first_layout_that_recognises_a_path_is_taken_and_the_last_recognises_all(
    tmp_path, monkeypatch
):
    flat = Layout("flat", lambda path: path.name == "flat", lambda path, reading: Listing(()), "")
    monkeypatch.setattr(layouts, "LAYOUTS", (flat, *LAYOUTS))
    assert find_layout(tmp_path / "flat") is flat
    assert find_layout(tmp_path / "anything") is LAYOUTS[-1]


def test_a_layout_only_lists_files_and_the_scan_checks_them(tmp_path, monkeypatch):
    corpus = write_corpus(tmp_path / "c")
    listed = LAYOUTS[-1].find(corpus, Reading(SMALL))
    few = Listing(listed.matches[1:], ("other.txt: not a video",))
    mine = Layout("mine", lambda path: True, lambda path, reading: few, "names must be mine")
    monkeypatch.setattr(layouts, "LAYOUTS", (mine,))

    found = scan(corpus, SMALL, sources=("Alpha",))
    assert [pair.clip for pair in found.pairs] == ["Alpha_20_64_200"]
    assert found.left_out == few.left_out
    with pytest.raises(InputError, match=r"other\.txt: not a video; rename or remove them"):
        scan(corpus, SMALL, strict=True)

    few.matches[0].dis.path.write_bytes(bytes(SMALL.frame_bytes))
    shorter = LAYOUTS[-1].find(corpus, Reading(SMALL))
    mine = Layout("mine", lambda path: True, lambda path, reading: shorter, "names must be mine")
    monkeypatch.setattr(layouts, "LAYOUTS", (mine,))
    with pytest.raises(InputError, match="holds 1 frames but its reference"):
        scan(corpus, SMALL)


def test_a_layout_that_lists_nothing_says_what_it_looks_for(tmp_path, monkeypatch):
    mine = Layout("mine", lambda path: True, lambda path, reading: Listing(()), "name files so: X")
    monkeypatch.setattr(layouts, "LAYOUTS", (mine,))
    with pytest.raises(InputError, match=f"no pair found in {tmp_path}: name files so: X"):
        scan(tmp_path, SMALL)
