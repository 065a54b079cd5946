"""libvmaf's logs and ffmpeg's report: values, remarks, and refused logs."""

import json

import pytest

from vmaf_train.errors import ExtractionError
from vmaf_train.extraction.logs import parse_features, parse_log, remarks_of
from vmaf_train.features import CANONICAL
from vmaf_train.teacher.teachers import DEFAULT_TEACHER


def log_of(frames):
    """Return a log of frames with these numbers."""
    metrics = {**{f"integer_{name}": 0.5 for name in CANONICAL.features}, "teacher0": 50.0}
    return {"version": "x", "frames": [{"frameNum": n, "metrics": dict(metrics)} for n in frames]}


def with_value(frame, key, value):
    log = log_of(range(3))
    log["frames"][frame]["metrics"][key] = value
    return json.dumps(log)


def without(frame, key):
    log = log_of(range(3))
    del log["frames"][frame]["metrics"][key]
    return json.dumps(log)


BAD_LOGS = [
    (json.dumps(log_of([0, 2])), "frame 2 where frame 1 belongs"),
    (json.dumps(log_of([0, 2, 1])), "frame 2 where frame 1 belongs"),
    (json.dumps(log_of([0, 1])), "holds 2 frames, the files hold 3"),
    (json.dumps(log_of([0, 1, 2, 3])), "holds 4 frames, the files hold 3"),
    (with_value(1, "teacher0", None), "frame 1 has None for teacher0"),
    (with_value(2, "integer_adm2", float("nan")), "frame 2 has nan for integer_adm2"),
    (with_value(0, "integer_motion2", "0.5"), "frame 0 has '0.5' for integer_motion2"),
    (with_value(1, "integer_adm2", True), "frame 1 has True for integer_adm2"),
    (with_value(1, "integer_adm2", 10**400), "frame 1 has 1000"),
    (with_value(1, "integer_adm2", -1.0), "values of adm2 are not possible"),
    (with_value(1, "integer_motion2", 1e300), "values of motion2 are not possible"),
    (with_value(1, "teacher0", 150.0), "scores of vmaf_v0.6.1 are not possible"),
    ("[" * 100_000, "cannot be read"),
    (without(1, "integer_vif_scale3"), "frame 1 has None for integer_vif_scale3"),
    ('{"frames": [{"frameNum": 0}]}', "cannot be read"),
    ('{"frames": [{"frameNum": 0, "metrics": null}]}', "cannot be read"),
    ("{", "cannot be read"),
]


@pytest.mark.parametrize(("text", "message"), BAD_LOGS)
def test_a_log_with_missing_frames_or_values_is_refused(text, message):
    with pytest.raises(ExtractionError, match=f"Alpha_10_32_50: .*{message}"):
        parse_log(text, "Alpha_10_32_50", 3, [DEFAULT_TEACHER])


def test_keys_of_older_builds_are_read():
    log = log_of(range(3))
    log["frames"][1]["metrics"] = dict.fromkeys(CANONICAL.features, 0.25) | {"teacher0": 30}
    scores = parse_log(json.dumps(log), "clip", 3, [DEFAULT_TEACHER])
    assert scores.x_NF[1].tolist() == [0.25] * 6
    assert scores.scores["vmaf_v0.6.1"].tolist() == [50.0, 30.0, 50.0]


def test_a_log_without_adm_details_gives_no_columns_for_them():
    metrics = dict.fromkeys(CANONICAL.features, 0.5) | {"teacher0": 50.0}
    log = {"frames": [{"frameNum": 0, "metrics": metrics}]}
    assert parse_log(json.dumps(log), "clip", 1, [DEFAULT_TEACHER]).features == CANONICAL.features


def test_a_log_of_some_features_gives_those_columns_in_order():
    log = log_of(range(2))
    log["frames"][1]["metrics"]["integer_adm2"] = 0.75
    assert parse_features(json.dumps(log), "clip", ("motion2", "adm2")).tolist() == [
        [0.5, 0.5],
        [0.5, 0.75],
    ]


def test_the_key_of_a_vif_pass_without_scale_0_is_read():
    log = {"frames": [{"frameNum": 0, "metrics": {"integer_vif_scale1_ssclz": 0.25}}]}
    assert parse_features(json.dumps(log), "clip", ("vif_scale1",)).tolist() == [[0.25]]


def test_an_empty_log_is_refused():
    with pytest.raises(ExtractionError, match="clip: libvmaf's log holds no frame"):
        parse_features('{"frames": []}', "clip", ("adm2",))


REPORT = """
  Input stream #0:0 (video): 9 packets read (1234 bytes); 9 frames decoded; 2 decode errors;
  Input stream #1:0 (video): 8 packets read (1234 bytes); 8 frames decoded; 0 decode errors;
"""


def test_remarks_name_the_longer_video_and_frames_that_were_not_decoded():
    longer, broken = remarks_of(REPORT)
    assert longer.startswith("the distorted video is longer than the 8 frames that both have")
    assert broken.startswith("the distorted video has 2 frames that ffmpeg could not decode")


def test_a_report_without_counts_gives_no_remark():
    assert remarks_of("frame= 8 fps=0.0") == []
