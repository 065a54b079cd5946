import dataclasses
import json
import subprocess
import threading
import time

import numpy as np
import pytest
from conftest import write_corpus

from vmaf_train.clips.layouts import scan
from vmaf_train.clips.video import YuvFormat
from vmaf_train.errors import ExtractionError, InputError
from vmaf_train.extraction.libvmaf import Ffmpeg, find_ffmpeg
from vmaf_train.extraction.logs import parse_log
from vmaf_train.extraction.schedule import Pass
from vmaf_train.features import ADM_DETAILS, CANONICAL
from vmaf_train.teacher.teachers import DEFAULT_TEACHER


def pairs_of(folder, **options):
    return scan(write_corpus(folder, **options), YuvFormat(*options.get("dims", (64, 64)))).pairs


def own_log(ffmpeg, pair, folder) -> list[dict[str, float]]:
    """Ask ffmpeg's libvmaf filter directly, dis first, and return the metrics of each frame."""
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", str(pair.format), "-r", "25", "-i"]
    command = [str(ffmpeg.path), "-v", "error", *raw, str(pair.dis.path), *raw, str(pair.ref.path)]
    command += ["-lavfi", "libvmaf=log_fmt=json:log_path=own.json", "-f", "null", "-"]
    subprocess.run(command, cwd=folder, check=True, stdin=subprocess.DEVNULL)
    return [frame["metrics"] for frame in json.loads((folder / "own.json").read_text())["frames"]]


def test_scores_and_features_equal_libvmafs_own_log_exactly(ffmpeg, tmp_path):
    pair = pairs_of(tmp_path / "c", frames=8, dims=(160, 90))[0]
    logged = own_log(ffmpeg, pair, tmp_path)
    (scores,) = ffmpeg.extract(Pass((pair,)))
    assert scores.features == (*CANONICAL.features, *ADM_DETAILS)
    assert scores.y_N.tolist() == [frame["vmaf"] for frame in logged]
    for column, name in enumerate(scores.features):
        assert scores.x_NF[:, column].tolist() == [frame[f"integer_{name}"] for frame in logged]
    assert np.ptp(scores.y_N) > 0


def test_the_distorted_clip_is_not_taken_for_the_reference(ffmpeg, tmp_path):
    pair = pairs_of(tmp_path / "c", frames=8, dims=(160, 90))[0]
    turned = dataclasses.replace(pair, ref=pair.dis, dis=pair.ref)
    other_way = own_log(ffmpeg, turned, tmp_path)
    assert (
        abs(
            ffmpeg.extract(Pass((pair,)))[0].y_N.mean()
            - np.mean([frame["vmaf"] for frame in other_way])
        )
        > 1
    )


def test_a_range_of_frames_is_scored_as_a_clip_of_these_frames_would_be(ffmpeg, tmp_path):
    whole, cut = (write_corpus(tmp_path / name, frames=8) for name in ("whole", "cut"))
    size = YuvFormat(64, 64).frame_bytes
    for file in cut.rglob("*.yuv"):
        file.write_bytes(file.read_bytes()[2 * size : 7 * size])
    ranged = ffmpeg.extract(Pass(scan(whole, YuvFormat(64, 64), frames=(2, 7)).pairs[:2]))
    expected = ffmpeg.extract(Pass(scan(cut, YuvFormat(64, 64)).pairs[:2]))
    assert [scores.y_N.tolist() for scores in ranged] == [
        scores.y_N.tolist() for scores in expected
    ]
    assert [scores.x_NF.tolist() for scores in ranged] == [
        scores.x_NF.tolist() for scores in expected
    ]


@pytest.mark.parametrize(("frames", "held", "wanted"), [(None, 4, 6), ((1, 6), 3, 5)])
def test_a_file_that_was_cut_since_the_scan_is_refused(ffmpeg, tmp_path, frames, held, wanted):
    (pair, *_) = scan(write_corpus(tmp_path / "c"), YuvFormat(64, 64), frames=frames).pairs
    for path in (pair.dis.path, pair.ref.path):
        content = path.read_bytes()
        path.write_bytes(content[: 4 * pair.format.frame_bytes])
        with pytest.raises(ExtractionError, match=f"holds {held} frames, the files hold {wanted}"):
            ffmpeg.extract(Pass((pair,)))
        path.write_bytes(content)


@pytest.mark.parametrize("name", ["with space", "a:b", "it's", "100%d", "[x];,=", "-dash"])
def test_a_path_with_signs_that_ffmpeg_reads_specially_is_no_trouble(ffmpeg, tmp_path, name):
    (pair, *_) = pairs_of(tmp_path / name)
    assert ffmpeg.extract(Pass((pair,)))[0].y_N.shape == (6,)
    part = dataclasses.replace(pair, frames=(1, 3), n_frames=2)
    assert ffmpeg.extract(Pass((part,)))[0].y_N.shape == (2,)


def log_of(frames):
    metrics = {**{f"integer_{name}": 0.5 for name in CANONICAL.features}, "vmaf": 50.0}
    return {"version": "x", "frames": [{"frameNum": n, "metrics": dict(metrics)} for n in frames]}


def spoilt(frame, key, value):
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
    (spoilt(1, "vmaf", None), "frame 1 has None for vmaf"),
    (spoilt(2, "integer_adm2", float("nan")), "frame 2 has nan for integer_adm2"),
    (spoilt(0, "integer_motion2", "0.5"), "frame 0 has '0.5' for integer_motion2"),
    (without(1, "integer_vif_scale3"), "frame 1 has None for integer_vif_scale3"),
    ('{"frames": [{"frameNum": 0}]}', "cannot be read"),
    ('{"frames": [{"frameNum": 0, "metrics": null}]}', "cannot be read"),
    ("{", "cannot be read"),
]


@pytest.mark.parametrize(("text", "message"), BAD_LOGS)
def test_a_log_with_a_gap_a_null_or_too_few_frames_is_refused_with_clip_and_frame(text, message):
    with pytest.raises(ExtractionError, match=f"Alpha_10_32_50: .*{message}"):
        parse_log(text, "Alpha_10_32_50", 3, DEFAULT_TEACHER)


def test_a_good_log_is_read_and_the_keys_of_older_builds_too():
    log = log_of(range(3))
    log["frames"][1]["metrics"] = dict.fromkeys(CANONICAL.features, 0.25) | {"vmaf": 30}
    scores = parse_log(json.dumps(log), "clip", 3, DEFAULT_TEACHER)
    assert scores.x_NF[1].tolist() == [0.25] * 6
    assert scores.y_N.tolist() == [50.0, 30.0, 50.0]


def script(folder, text):
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_no_ffmpeg_is_bad_input(monkeypatch):
    monkeypatch.setenv("VMAF_FFMPEG", "no-such-ffmpeg")
    with pytest.raises(InputError, match="no ffmpeg at no-such-ffmpeg") as caught:
        find_ffmpeg()
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("act", "said"),
    [
        ("exit 0", "wrote no libvmaf log"),
        ("echo '{}' > 0.json", "version"),
        (": > 0.json", "Expecting"),
    ],
)
def test_an_ffmpeg_that_writes_no_usable_log_is_bad_input(act, said, tmp_path):
    with pytest.raises(InputError, match=rf"cannot score with libvmaf.*{said}"):
        Ffmpeg(script(tmp_path, act))


def test_the_ffmpeg_of_the_variable_is_used(monkeypatch, ffmpeg, tmp_path):
    path = script(tmp_path, f'exec {ffmpeg.path} "$@"')
    monkeypatch.setenv("VMAF_FFMPEG", str(path))
    assert find_ffmpeg().path == path
    assert find_ffmpeg().libvmaf_version == ffmpeg.libvmaf_version


def test_a_failing_pass_tells_clip_command_and_last_words(ffmpeg, tmp_path):
    (pair, *_) = pairs_of(tmp_path / "c")
    pair.dis.path.unlink()
    with pytest.raises(
        ExtractionError, match=rf"{pair.clip}: .*No such file.*Command: .*-filter_complex"
    ):
        ffmpeg.extract(Pass((pair,)))


def test_stop_ends_a_running_pass_and_refuses_the_next(tmp_path):
    ffmpeg = find_ffmpeg()
    (pair, *_) = pairs_of(tmp_path / "c", sources=("Alpha",), rungs=1, frames=400, dims=(320, 180))
    failure: list[BaseException] = []

    def extract():
        try:
            ffmpeg.extract(Pass((pair,)))
        except ExtractionError as error:
            failure.append(error)

    thread = threading.Thread(target=extract)
    thread.start()
    while not ffmpeg.running:
        time.sleep(0.001)
    ffmpeg.stop()
    thread.join(timeout=5)
    assert not thread.is_alive()
    assert "status -9" in str(failure[0])
    with pytest.raises(ExtractionError, match="stopped before it ran"):
        ffmpeg.extract(Pass((pair,)))
