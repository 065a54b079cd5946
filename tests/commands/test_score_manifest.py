"""Score with a manifest: one table of many pairs, which a second run continues."""

import csv
import json
from pathlib import Path

import pytest
from commandline import call
from conftest import write_corpus

from vmaf_train.clips.layouts import scan
from vmaf_train.clips.video import YuvFormat

LITE = Path(__file__).parents[2] / "model" / "tiny" / "vmaf_tiny_lite.onnx"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    corpus = write_corpus(tmp_path_factory.mktemp("scored") / "c", frames=8, dims=(160, 90))
    return scan(corpus, YuvFormat(160, 90)).pairs


@pytest.fixture
def manifest(pairs, tmp_path):
    """A manifest of all pairs."""
    rows = [f"{pair.ref.path},{pair.dis.path},160x90" for pair in pairs]
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(["ref,dis,size", *rows]) + "\n")
    return path


@pytest.fixture
def out(tmp_path):
    """The table that scores are added to; not there yet."""
    return tmp_path / "scores.csv"


def score(manifest, out, *options):
    return call("score", "--manifest", manifest, "--out", out, *options)


def rows_of(table):
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_pair_has_one_row_with_the_scores_of_the_pair_alone(manifest, pairs, out):
    assert score(manifest, out).exit_code == 0
    rows = {row["dis"]: row for row in rows_of(out)}
    assert sorted(rows) == sorted(str(pair.dis.path) for pair in pairs)
    assert len(rows_of(out)) == len(pairs)
    alone = call("score", pairs[2].ref.path, pairs[2].dis.path, "--size", "160x90")
    expected = json.loads(alone.stdout)
    row = rows[str(pairs[2].dis.path)]
    assert {key: row[key] for key in expected} == {
        key: "" if value is None else str(value) for key, value in expected.items()
    }


def test_a_second_run_scores_no_pair_again(manifest, out, monkeypatch):
    assert score(manifest, out).exit_code == 0
    before = out.read_bytes()
    monkeypatch.setattr("vmaf_train.commands.score_manifest.score_row", None)
    assert score(manifest, out).exit_code == 0
    assert out.read_bytes() == before


def test_another_size_or_another_model_adds_rows(manifest, pairs, out, tmp_path):
    assert score(manifest, out).exit_code == 0
    turned = tmp_path / "turned.csv"
    turned.write_text(manifest.read_text().replace("160x90", "90x160"))
    assert score(turned, out).exit_code == 0
    assert len(rows_of(out)) == 2 * len(pairs)
    assert score(manifest, out, "--model", LITE).exit_code == 0
    assert len(rows_of(out)) == 3 * len(pairs)


def test_a_failed_pair_is_named_and_the_next_run_scores_it(manifest, pairs, out, tmp_path):
    late = tmp_path / "late.yuv"
    manifest.write_text(manifest.read_text() + f"{pairs[0].ref.path},{late},160x90\n")
    failed = score(manifest, out)
    assert failed.exit_code == 1
    assert f"{late}: no file" in failed.output
    assert len(rows_of(out)) == len(pairs)
    late.write_bytes(pairs[1].dis.path.read_bytes())
    assert score(manifest, out).exit_code == 0
    assert len(rows_of(out)) == len(pairs) + 1


def test_a_table_that_ends_within_a_row_is_refused_and_kept(manifest, out):
    assert score(manifest, out).exit_code == 0
    torn = out.read_bytes()[:-20]
    out.write_bytes(torn)
    refused = score(manifest, out)
    assert (refused.exit_code, "ends within a row" in refused.output) == (2, True), refused.output
    assert out.read_bytes() == torn


def test_a_table_with_other_columns_is_refused_and_kept(manifest, out):
    out.write_text("my,own\n1,2\n")
    assert score(manifest, out).exit_code == 2
    assert out.read_text() == "my,own\n1,2\n"


def test_a_bad_manifest_exits_2(out, tmp_path):
    (tmp_path / "pairs.csv").write_text("ref,dis\n")
    refused = score(tmp_path / "pairs.csv", out)
    assert (refused.exit_code, "columns ref and dis" in refused.output) == (2, True)
    assert not out.exists()
