"""libvmaf passes: their scores, their failures, and the ffmpeg that runs them."""

import dataclasses
import json
import os
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import write_corpus

from vmaf_train.clips.layouts import scan
from vmaf_train.clips.video import YuvFormat
from vmaf_train.errors import ExtractionError, InputError
from vmaf_train.extraction.libvmaf import Ffmpeg, filter_with, find_ffmpeg, score_with
from vmaf_train.extraction.schedule import Pass
from vmaf_train.features import (
    ADM_DETAILS,
    CANONICAL,
    FEATURE_SETS,
)
from vmaf_train.teacher.model_file import packaged_model
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

SMALL = YuvFormat(64, 64)
SETS = ("canonical", "lite", "fast")
# Sets of other features are for other teachers.
LOGGED = tuple(
    name for name, row in FEATURE_SETS.items() if set(row.features) <= set(DEFAULT_TEACHER.logged)
)


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
    assert scores.scores["vmaf_v0.6.1"].tolist() == [frame["vmaf"] for frame in logged]
    for column, name in enumerate(scores.features):
        assert scores.x_NF[:, column].tolist() == [frame[f"integer_{name}"] for frame in logged]
    assert np.ptp(scores.scores["vmaf_v0.6.1"]) > 0


def test_ref_and_dis_are_not_swapped(ffmpeg, tmp_path):
    pair = pairs_of(tmp_path / "c", frames=8, dims=(160, 90))[0]
    swapped = own_log(ffmpeg, dataclasses.replace(pair, ref=pair.dis, dis=pair.ref), tmp_path)
    (scores,) = ffmpeg.extract(Pass((pair,)))
    assert (
        abs(scores.scores["vmaf_v0.6.1"].mean() - np.mean([frame["vmaf"] for frame in swapped])) > 1
    )


def test_a_range_of_frames_scores_like_a_clip_cut_to_it(ffmpeg, tmp_path):
    whole, cut = (write_corpus(tmp_path / name, frames=8) for name in ("whole", "cut"))
    size = SMALL.frame_bytes
    for file in cut.rglob("*.yuv"):
        file.write_bytes(file.read_bytes()[2 * size : 7 * size])
    ranged = ffmpeg.extract(Pass(scan(whole, SMALL, frames=(2, 7)).pairs[:2]))
    expected = ffmpeg.extract(Pass(scan(cut, SMALL).pairs[:2]))
    for given, wanted in zip(ranged, expected, strict=True):
        assert given.scores["vmaf_v0.6.1"].tolist() == wanted.scores["vmaf_v0.6.1"].tolist()
        assert given.x_NF.tolist() == wanted.x_NF.tolist()


@pytest.mark.parametrize("frames", [None, (1, 6)])
def test_a_file_that_shrank_since_the_scan_is_refused(ffmpeg, tmp_path, frames):
    (pair, *_) = scan(write_corpus(tmp_path / "c"), SMALL, frames=frames).pairs
    for path in (pair.dis.path, pair.ref.path):
        content = path.read_bytes()
        path.write_bytes(content[: 4 * pair.format.frame_bytes])
        with pytest.raises(ExtractionError, match=f"{pair.dis.path.name} changed while"):
            ffmpeg.extract(Pass((pair,)))
        path.write_bytes(content)


@pytest.mark.parametrize("name", ["with space", "a:b", "it's", "100%d", "[x];,=", "-dash"])
def test_paths_may_hold_characters_that_are_special_to_ffmpeg(ffmpeg, tmp_path, name):
    (pair, *_) = pairs_of(tmp_path / name)
    assert ffmpeg.extract(Pass((pair,)))[0].scores["vmaf_v0.6.1"].shape == (6,)
    part = pair.between(1, 3)
    assert ffmpeg.extract(Pass((part,)))[0].scores["vmaf_v0.6.1"].shape == (2,)


def test_a_model_file_scores_like_the_built_in_model(ffmpeg, tmp_path):
    (pair, *_) = pairs_of(tmp_path / "c", frames=8, dims=(160, 90))
    (scores,) = ffmpeg.extract(Pass((pair,)))
    model = packaged_model(DEFAULT_TEACHER.name).read_bytes()
    assert (
        score_with(model, pair.ref, pair.dis, ffmpeg, threads=0).tolist()
        == scores.scores["vmaf_v0.6.1"].tolist()
    )


@pytest.mark.parametrize("model", [b"", b"[]", b'{"model_dict": {"model_type": "FOREST"}}'])
def test_a_file_that_is_no_model_is_refused_with_what_libvmaf_said(model, ffmpeg, tmp_path):
    (pair, *_) = pairs_of(tmp_path / "c")
    with pytest.raises(ExtractionError, match=r"could not load libvmaf model.*Command: .*path="):
        score_with(model, pair.ref, pair.dis, ffmpeg, threads=0)


@pytest.mark.parametrize("name", ["with space", "a:b", "it's", "100%d", "[x];,=", "a\\b", "-dash"])
def test_the_path_of_a_model_may_hold_characters_that_are_special_to_ffmpeg(name, ffmpeg):
    path = Path(f"{name}.json")
    path.write_bytes(packaged_model(DEFAULT_TEACHER.name).read_bytes())
    still = ["-f", "lavfi", "-i", "color=gray:size=64x64:rate=1:duration=1"]
    command = [ffmpeg.path, "-nostdin", "-v", "error", *still, *still]
    subprocess.run([*command, "-lavfi", filter_with(path), "-f", "null", "-"], check=True)


def script(folder, text):
    """Write a shell script to use as ffmpeg."""
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_missing_ffmpeg_is_an_input_error(monkeypatch):
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
def test_an_ffmpeg_without_a_usable_log_is_an_input_error(act, said, tmp_path):
    with pytest.raises(InputError, match=rf"cannot score with libvmaf.*{said}"):
        Ffmpeg(script(tmp_path, act))


def test_vmaf_ffmpeg_names_the_ffmpeg_to_use(monkeypatch, ffmpeg, tmp_path):
    path = script(tmp_path, f'exec {ffmpeg.path} "$@"')
    monkeypatch.setenv("VMAF_FFMPEG", str(path))
    assert find_ffmpeg().path == path
    assert find_ffmpeg().libvmaf_version == ffmpeg.libvmaf_version


def test_a_failed_pass_names_clip_and_command(ffmpeg, tmp_path):
    (pair, *_) = pairs_of(tmp_path / "c")
    pair.dis.path.unlink()
    with pytest.raises(
        ExtractionError, match=rf"{pair.clip}: .*No such file.*Command: .*-filter_complex"
    ):
        ffmpeg.extract(Pass((pair,)))


def test_stop_kills_the_running_pass_and_refuses_the_next(tmp_path):
    ffmpeg = find_ffmpeg()
    (pair, *_) = pairs_of(tmp_path / "c", sources=("Alpha",), rungs=1, frames=100, dims=(320, 180))
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


@pytest.mark.parametrize("name", LOGGED)
def test_a_pass_for_one_set_equals_those_columns_of_the_full_pass(name, ffmpeg, tmp_path):
    (pair, *_) = pairs_of(tmp_path / "c", dims=(160, 90))
    (full,) = ffmpeg.extract(Pass((pair,)))
    wanted = FEATURE_SETS[name]
    x_NF, remarks = ffmpeg.features(pair.ref, pair.dis, wanted, threads=1)
    assert remarks == []
    columns = [full.features.index(feature) for feature in wanted.features]
    assert x_NF.tolist() == full.x_NF[:, columns].tolist()


def test_a_pass_for_one_set_computes_no_other_features(fake_ffmpeg, tmp_path):
    (kept := tmp_path / "kept").mkdir()
    keep = f"cp 0.json {kept}/$(ls {kept} | wc -l).json"
    ffmpeg = Ffmpeg(fake_ffmpeg(f'"$REAL" "$@"; status=$?; {keep}; exit $status'))
    (pair, *_) = pairs_of(tmp_path / "c")
    for name in SETS:
        ffmpeg.features(pair.ref, pair.dis, FEATURE_SETS[name], threads=0)
    # 0.json is of the probe that every Ffmpeg starts with.
    logs = [json.loads((kept / f"{number}.json").read_text()) for number in (1, 2, 3)]
    canonical, lite, fast = (log["frames"][1]["metrics"] for log in logs)
    assert canonical["integer_vif_scale0"] > 0 and lite["integer_vif_scale0_ssclz"] == 0
    assert not any("vif" in key for key in fast)
    assert not any("vmaf" in key for row in (canonical, lite, fast) for key in row if key.islower())


class Changing:
    """Runs a command, then changes a file, as another program might during the pass."""

    def __init__(self, ffmpeg, change):
        self._own, self._change = ffmpeg._processes, change

    def run(self, *given, **named):
        out = self._own.run(*given, **named)
        self._change()
        return out


def put_other_content_with_the_old_time(path):
    stat = path.stat()
    with path.open("r+b") as file:
        file.write(b"other")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "message"),
    [(put_other_content_with_the_old_time, "changed while"), (Path.unlink, "was removed")],
    ids=["replaced, with its old time", "removed"],
)
@pytest.mark.parametrize("which", ["ref", "dis"])
def test_a_file_that_changes_during_the_pass_is_an_error(
    ffmpeg, tmp_path, monkeypatch, which, change, message
):
    (pair, *_) = pairs_of(tmp_path)
    path = getattr(pair, which).path
    monkeypatch.setattr(ffmpeg, "_processes", Changing(ffmpeg, lambda: change(path)))
    with pytest.raises(ExtractionError, match=f"{path.name} {message}"):
        ffmpeg.extract(Pass((pair,)))
