"""Logs that users have: three forms, the keys of all builds, and damaged files."""

import contextlib
import json
import re

import numpy as np
import pytest
from conftest import write_corpus
from hypothesis import given, settings
from hypothesis import strategies as st
from log_writing import FORMS, write_log

from vmaf_train.clips.layouts import scan
from vmaf_train.clips.video import YuvFormat
from vmaf_train.errors import InputError
from vmaf_train.extraction import log_files
from vmaf_train.extraction.log_files import how_to_log, parse_log_file, read_log
from vmaf_train.extraction.schedule import Pass
from vmaf_train.features import FEATURE_SETS

KEYS = ("integer_adm2", "vmaf")


@pytest.fixture(scope="session")
def logged(ffmpeg, tmp_path_factory):
    """Return a pair, and the text of its log in each form."""
    folder = tmp_path_factory.mktemp("logged")
    corpus = write_corpus(folder / "corpus", sources=("Alpha",), rungs=1)
    (pair,) = scan(corpus, YuvFormat(64, 64)).pairs
    return pair, {
        form: write_log(ffmpeg, pair, folder / f"log.{form}").read_text() for form in FORMS
    }


def parsed(text):
    return parse_log_file(text, "a.log")


@pytest.mark.parametrize("form", FORMS)
def test_each_form_holds_exactly_what_a_pass_of_our_own_reads(form, logged, ffmpeg):
    pair, texts = logged
    (scores,) = ffmpeg.extract(Pass((pair,)))
    log = parsed(texts[form])
    np.testing.assert_array_equal(log.features(scores.features), scores.x_NF)
    np.testing.assert_array_equal(log.values("vmaf"), scores.scores["vmaf_v0.6.1"])
    assert (log.step, log.version) == (1, None if form == "csv" else ffmpeg.libvmaf_version)


@pytest.mark.parametrize("form", FORMS)
def test_every_nth_frame_is_what_the_whole_log_has_there(form, logged, ffmpeg, tmp_path):
    pair, texts = logged
    some = read_log(write_log(ffmpeg, pair, tmp_path / f"some.{form}", "n_subsample=3"))
    whole = parsed(texts[form])
    assert (some.step, len(some)) == (3, 2)
    for key in ("integer_vif_scale2", "integer_motion2", "vmaf"):
        assert some.values(key).tolist() == whole.values(key)[::3].tolist()


@pytest.mark.parametrize("form", FORMS)
def test_keys_of_older_builds_are_read(form, logged):
    text = logged[1][form]
    old = parsed(re.sub(r"integer_(adm|vif|motion)", r"\1", text))
    for row in FEATURE_SETS.values():
        expected = parsed(text).features(row.features)
        np.testing.assert_array_equal(old.features(row.features), expected)


def test_a_scale_that_the_pass_skipped_is_missing_although_zeros_are_logged(
    logged, ffmpeg, tmp_path
):
    row = FEATURE_SETS["lite_vif"]
    options = f"model='':feature='{row.extraction}'"
    log = read_log(write_log(ffmpeg, logged[0], tmp_path / "lite.json", options))
    assert log.values("integer_vif_scale0_ssclz").tolist() == [0.0] * 6
    assert log.missing(FEATURE_SETS["canonical"].features) == ["vif_scale0"]
    expected = parsed(logged[1]["json"]).features(row.features)
    np.testing.assert_array_equal(log.features(row.features), expected)


@pytest.mark.parametrize("name", FEATURE_SETS)
def test_the_options_that_an_error_names_log_the_features(name, logged, ffmpeg, tmp_path):
    row = FEATURE_SETS[name]
    option = re.match(r"libvmaf=(feature='.*') in ffmpeg", how_to_log(row))[1]
    written = write_log(ffmpeg, logged[0], tmp_path / "log.xml", f"model='':{option}")
    assert read_log(written).missing(row.features) == []


def test_the_tool_takes_an_extractor_by_name_and_then_its_options():
    said = how_to_log(FEATURE_SETS["lite_vif"])
    assert "--feature vif=vif_skip_scale0=true --feature adm --feature motion" in said


def as_json(change):
    """Return a damage: change the parsed JSON log."""

    def damage(texts):
        log = json.loads(texts["json"])
        change(log)
        return json.dumps(log)

    return damage


def swap(log):
    log["frames"][1:3] = log["frames"][2:0:-1]


def sub(form, pattern, new):
    """Return a damage: replace the first match of a pattern in the log of a form."""
    return lambda texts: re.sub(pattern, new, texts[form], count=1)


DAMAGES = {
    "frames out of order": (as_json(swap), "has frame 2 where frame 1 belongs"),
    "a frame twice": (
        as_json(lambda log: log["frames"].insert(1, log["frames"][0])),
        "has frame 0 where frame 1 belongs",
    ),
    "a frame missing": (
        as_json(lambda log: log["frames"].pop(2)),
        "has frame 3 where frame 2 belongs",
    ),
    "the start missing": (as_json(lambda log: log["frames"].pop(0)), "frame 1 where frame 0"),
    "no frame": (as_json(lambda log: log["frames"].clear()), "the log holds no frame"),
    "no frame in XML": (lambda texts: "<VMAF><frames/></VMAF>", "the log holds no frame"),
    "no frame in CSV": (lambda texts: texts["csv"].splitlines()[0], "the log holds no frame"),
    "null": (sub("json", r'"integer_adm2": [0-9.]+', '"integer_adm2": null'), "no value for int"),
    "NaN": (sub("json", r'"integer_adm2": [0-9.]+', '"integer_adm2": NaN'), "frame 0 has nan for"),
    "true": (sub("json", r'"vmaf": [0-9.]+', '"vmaf": true'), "frame 0 has True for vmaf"),
    "huge": (sub("json", r'"vmaf": [0-9.]+', f'"vmaf": 1{"0" * 400}'), "frame 0 has 1000.* vmaf"),
    "nan in XML": (sub("xml", r'vmaf="[0-9.]+"', 'vmaf="nan"'), "frame 0 has 'nan' for vmaf"),
    "inf in CSV": (sub("csv", r"(?m)^3,[0-9.]+", "3,inf"), "frame 3 has 'inf' for integer_adm2"),
    "digits with _": (sub("xml", r'vmaf="[0-9.]+"', 'vmaf="1_0"'), "frame 0 has '1_0' for vmaf"),
    "a missing value": (sub("xml", r'vmaf="[0-9.]+"', ""), "has no frame|holds no|no value for vm"),
    "a missing cell": (
        sub("csv", r"(?m)^2,[0-9.]+,", "2,"),
        "frame 2 has 15 values for 16 columns",
    ),
    "a column twice": (sub("csv", "integer_aim", "integer_adm2"), "two columns have the same name"),
    "cut JSON": (lambda texts: texts["json"][:900], "is no whole libvmaf log"),
    "cut XML": (lambda texts: texts["xml"][:900], "is no whole libvmaf log"),
    "cut CSV": (lambda texts: texts["csv"][:-30], "values for 16 columns"),
    "deep JSON": (lambda texts: '{"frames":' + "[" * 100_000, "is no whole libvmaf log"),
    "other JSON": (lambda texts: '{"frames": 3}', "is no whole libvmaf log"),
    "other XML": (lambda texts: "<svg></svg>", "its root is <svg>"),
    "a table": (lambda texts: "ref,dis\na,b\n", "no libvmaf log in JSON, XML or CSV"),
    "empty": (lambda texts: "", "no libvmaf log in JSON, XML or CSV"),
    "subtitles": (lambda texts: "{0}{1}frame: 0|vmaf: 3|", "in the form of subtitles; write it"),
    "no number": (sub("csv", r"(?m)^2,", "two,"), "'two' is no number of a frame"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_log_is_refused_with_its_name_and_what_is_wrong(name, logged):
    damage, message = DAMAGES[name]
    with pytest.raises(InputError, match=rf"^a\.log.*(?:{message})"):
        log = parsed(damage(logged[1]))
        for key in KEYS:
            log.values(key)


def test_entities_are_never_expanded():
    lines = ['<!ENTITY a "ha">']
    lines += [
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    bomb = f"<?xml version='1.0'?><!DOCTYPE VMAF [{''.join(lines)}]><VMAF version='&i;'></VMAF>"
    with pytest.raises(InputError, match=r"^a\.log.*it has a DOCTYPE"):
        parsed(bomb)


def test_a_value_that_nobody_reads_may_be_null(logged):
    text = re.sub(r'"integer_aim": [0-9.]+', '"integer_aim": null', logged[1]["json"])
    assert len(parsed(text).features(("adm2",))) == 6


def test_a_file_that_is_too_large_is_refused_unread(tmp_path, monkeypatch):
    path = tmp_path / "big.json"
    path.write_text("{" * 101)
    monkeypatch.setattr(log_files, "MAX_BYTES", 100)
    with pytest.raises(InputError, match=r"big\.json: 101 bytes are more than the 100 of a log"):
        read_log(path)


@pytest.mark.parametrize("content", [b"\xff\xfe{\x00", b"\x89PNG\r\n\x1a\n\xff"])
def test_a_binary_file_is_refused(content, tmp_path):
    (tmp_path / "b.json").write_bytes(content)
    with pytest.raises(InputError, match=r"b\.json is no libvmaf log, since it is no text"):
        read_log(tmp_path / "b.json")


@pytest.mark.parametrize("form", FORMS)
def test_a_byte_order_mark_and_any_ending_are_accepted(form, logged, tmp_path):
    path = tmp_path / "log.txt"
    path.write_text(logged[1][form], encoding="utf-8-sig")
    assert len(read_log(path)) == 6


JUNK = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["null", "NaN", "-", "[", "{", "<", ">", '"', ",", "\n", "\0", "&a;", "1e999"]),
)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_mutated_logs_raise_only_our_own_errors(logged, data):
    text = logged[1][data.draw(st.sampled_from(FORMS))]
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 40)))
        text = text[:start] + data.draw(JUNK) + text[end:]
    with contextlib.suppress(InputError):
        log = parsed(text)
        for key in KEYS:
            log.values(key)
