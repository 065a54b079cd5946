"""`cache ls|verify|prune`: entries, their states, and what another pass gives."""

import json
import os
from pathlib import Path

import pytest
from commandline import call
from conftest import write_corpus

from vmaf_train.commands.prewarm import prewarm
from vmaf_train.extraction.cache import cache_root, seal, unseal
from vmaf_train.extraction.entries import State, entries_below
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.reporting import Reporter


@pytest.fixture
def corpus(tmp_path):
    folder = write_corpus(tmp_path / "corpus")
    prewarm(CorpusChoice(corpus=str(folder), assume_dims="64x64"), Reporter())
    return folder


def dis_of(entry: Path, corpus: Path) -> Path:
    return corpus / "dis" / f"{entry.stem}.yuv"


def states() -> list[str]:
    return [entry.state for entry in entries_below(cache_root())]


def test_entries_of_files_that_are_there_serve(corpus):
    assert states() == [State.ok] * 4
    assert call("cache", "verify").exit_code == 0


def test_prune_removes_what_serves_no_pass_and_keeps_the_rest(corpus):
    stale, gone, damaged, _ = sorted(cache_root().glob("*/*.json"))
    os.utime(dis_of(stale, corpus), ns=(1, 1))
    dis_of(gone, corpus).unlink()
    damaged.write_bytes(damaged.read_bytes() + b" ")
    assert states() == [State.stale, State.gone, State.damaged, State.ok]
    assert "removes 3 of them" in call("cache", "ls").output
    assert call("cache", "verify").exit_code == 1
    assert "removed 3 entries" in call("cache", "prune").output
    assert states() == [State.ok]


def test_verify_extracts_clips_again_and_names_one_that_differs(corpus):
    result = call("cache", "verify", "--sample", "9")
    assert (result.exit_code, "4 clips extracted again" in result.output) == (0, True)
    path = next(iter(cache_root().glob("*/*.json")))
    entry = json.loads(unseal(path.read_bytes())[0])
    entry["scores"]["vmaf_v0.6.1"][2] += 1
    path.write_bytes(seal(json.dumps(entry, separators=(",", ":")).encode()))
    result = call("cache", "verify", "--sample", "9")
    assert result.exit_code == 1
    assert f"{path}: another pass differs by 1" in result.output


def test_an_entry_without_paths_gets_them_at_its_next_use(corpus):
    path = next(iter(cache_root().glob("*/*.json")))
    entry = json.loads(unseal(path.read_bytes())[0])
    del entry["files"]
    path.write_bytes(seal(json.dumps(entry, separators=(",", ":")).encode()))
    assert states().count(State.unnamed) == 1
    done = prewarm(CorpusChoice(corpus=str(corpus), assume_dims="64x64"), Reporter())
    assert (done.extracted, states()) == (0, [State.ok] * 4)


def test_a_folder_whose_name_is_not_utf_8_is_cached_and_kept_by_prune(tmp_path):
    folder = write_corpus(tmp_path / "caf\udce9")
    choice = CorpusChoice(corpus=str(folder), assume_dims="64x64")
    assert prewarm(choice, Reporter()).extracted == 4
    assert "removed 0 entries" in call("cache", "prune").output
    assert prewarm(choice, Reporter()).extracted == 0
