import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import write_corpus
from typer.testing import CliRunner

from vmaf_train.cli import app
from vmaf_train.clips.layouts import scan
from vmaf_train.clips.video import YuvFormat
from vmaf_train.commands.score import load_scorer, score_video
from vmaf_train.extraction.schedule import Pass

ROOT = Path(__file__).parents[2]
EXACT, LITE = (
    str(ROOT / "model" / "tiny" / f"vmaf_tiny_{name}.onnx") for name in ("exact", "lite")
)
RAW = ["--size", "160x90"]


def call(*words: object):
    return CliRunner().invoke(app, ["score", *map(str, words)])


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    corpus = write_corpus(tmp_path_factory.mktemp("scored") / "c", frames=8, dims=(160, 90))
    return scan(corpus, YuvFormat(160, 90)).pairs


def encoded(pair, ffmpeg, folder, *, suffix=".mkv", options=("-c:v", "ffv1"), size="160x90"):
    """Write both files of a pair in another form, frame for frame the same."""
    made = []
    for path in (pair.ref.path, pair.dis.path):
        made.append(folder / f"{path.stem}{suffix}")
        raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "160x90", "-r", "25", "-i", str(path)]
        scaled = ["-vf", f"scale={size.replace('x', ':')}"] if size != "160x90" else []
        subprocess.run([ffmpeg.path, "-v", "error", *raw, *scaled, *options, made[-1]], check=True)
    return made


def test_the_exact_student_gives_the_teachers_scores(pairs, ffmpeg):
    for pair in pairs[:2]:
        scored = score_video(load_scorer(EXACT), pair.ref, pair.dis, ffmpeg, threads=1)
        np.testing.assert_allclose(scored.score_N, ffmpeg.extract(Pass((pair,)))[0].y_N, atol=0.1)
        assert np.ptp(scored.score_N) > 0.2


def test_what_is_printed_are_the_frames_pooled(pairs):
    told = json.loads(
        call(pairs[0].ref.path, pairs[0].dis.path, *RAW, "--model", LITE, "--per-frame").stdout
    )
    scores_N = np.array(told["scores"])
    assert (told["frames"], len(scores_N)) == (8, 8)
    assert told["mean"] == pytest.approx(scores_N.mean())
    assert told["min"] == scores_N.min()
    assert told["percentile_5"] == pytest.approx(np.percentile(scores_N, 5))
    assert told["harmonic_mean"] == pytest.approx(8 / (1 / (scores_N + 1)).sum() - 1)
    rmse = json.loads(Path(LITE).with_suffix(".json").read_text())["metrics"]["rmse"]
    assert (told["low"], told["high"]) == pytest.approx(
        (told["mean"] - 1.96 * rmse, told["mean"] + 1.96 * rmse)
    )


def test_as_csv_there_is_a_row_for_the_video_or_one_a_frame(pairs):
    whole = list(
        csv.DictReader(
            call(pairs[0].ref.path, pairs[0].dis.path, *RAW, "--format", "csv").stdout.splitlines()
        )
    )
    told = json.loads(call(pairs[0].ref.path, pairs[0].dis.path, *RAW).stdout)
    assert [{key: float(value) for key, value in row.items()} for row in whole] == [told]
    frames = call(
        pairs[0].ref.path, pairs[0].dis.path, *RAW, "--format", "csv", "--per-frame"
    ).stdout.splitlines()
    assert [line.split(",")[0] for line in frames] == ["frame", *map(str, range(8))]


FORMS = {
    "Matroska": {},
    "Y4M": {"suffix": ".y4m", "options": ()},
    "another frame rate and start": {
        "options": ("-c:v", "ffv1", "-vf", "setpts=PTS/2+3/TB", "-fps_mode", "passthrough")
    },
}


@pytest.mark.parametrize("name", FORMS)
def test_a_video_in_another_form_scores_as_the_raw_frames_do(name, pairs, ffmpeg, tmp_path):
    ref, dis = encoded(pairs[1], ffmpeg, tmp_path, **FORMS[name])
    told = json.loads(call(ref, dis).stdout)
    assert told == json.loads(call(pairs[1].ref.path, pairs[1].dis.path, *RAW).stdout)


def test_ten_bits_are_read_as_ten_bits(pairs, ffmpeg, tmp_path):
    raw = ("-f", "rawvideo", "-pix_fmt", "yuv420p10le")
    ref, dis = encoded(pairs[1], ffmpeg, tmp_path, suffix=".yuv", options=raw)
    assert ref.stat().st_size == 2 * pairs[1].ref.path.stat().st_size
    told = json.loads(call(ref, dis, *RAW, "--pix-fmt", "yuv420p10le").stdout)
    eight = json.loads(call(pairs[1].ref.path, pairs[1].dis.path, *RAW).stdout)
    assert told["frames"] == 8
    assert told["mean"] == pytest.approx(eight["mean"], abs=0.5)


def test_videos_of_different_size_are_refused_with_a_command_that_scales(pairs, ffmpeg, tmp_path):
    ref, _ = encoded(pairs[1], ffmpeg, tmp_path)
    (tmp_path / "small").mkdir()
    _, dis = encoded(pairs[1], ffmpeg, tmp_path / "small", size="80x46")
    refused = call(ref, dis)
    assert refused.exit_code == 2
    assert f"{dis} is 80x46, its reference {ref} 160x90; scale it first: " in refused.output
    command = refused.output.split("scale it first: ")[1].split()
    subprocess.run([*command[:1], "-v", "error", *command[1:]], check=True)
    assert call(ref, command[-1]).exit_code == 0


LENGTHS = {"the reference": (8, 5), "the distorted video": (5, 8)}


@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.parametrize("suffix", [".yuv", ".mkv"])
def test_of_videos_of_different_length_the_frames_of_both_are_scored_with_a_warning(
    name, suffix, pairs, ffmpeg, tmp_path
):
    whole = json.loads(call(pairs[1].ref.path, pairs[1].dis.path, *RAW, "--per-frame").stdout)[
        "scores"
    ]
    paths = []
    for path, frames in zip((pairs[1].ref.path, pairs[1].dis.path), LENGTHS[name], strict=True):
        paths.append(tmp_path / f"{path.stem}{suffix}")
        raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "160x90", "-r", "25", "-i", str(path)]
        codec = ["-f", "rawvideo"] if suffix == ".yuv" else ["-c:v", "ffv1"]
        subprocess.run(
            [ffmpeg.path, "-v", "error", *raw, "-frames:v", str(frames), *codec, paths[-1]],
            check=True,
        )
    told = call(*paths, *RAW, "--per-frame")
    assert f"warning: {name} is longer than the 5 frames that both have" in told.stderr
    scores = json.loads(told.stdout)["scores"]
    # The last frame of five has no next one for its motion.
    assert (len(scores), scores[:4]) == (5, whole[:4])


def test_frames_that_cannot_be_decoded_are_told(pairs, ffmpeg, tmp_path):
    ref, dis = encoded(pairs[1], ffmpeg, tmp_path, options=("-c:v", "png"))
    assert call(ref, dis).stderr == ""
    content = bytearray(dis.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    dis.write_bytes(content)
    assert (
        "warning: the distorted video has 1 frames that ffmpeg could not decode"
        in call(ref, dis).stderr
    )


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv422p12le"])
def test_raw_files_that_are_no_whole_number_of_frames_are_refused(pix_fmt, pairs):
    size = "160x100"
    refused = call(pairs[0].ref.path, pairs[0].dis.path, "--size", size, "--pix-fmt", pix_fmt)
    assert refused.exit_code == 2
    assert f"not a whole number of {size} {pix_fmt} frames" in refused.output
    assert "pass the true size with --size and --pix-fmt" in refused.output


def test_what_cannot_be_scored_is_bad_input_with_the_next_step(pairs, tmp_path):
    ref, dis = pairs[0].ref.path, pairs[0].dis.path
    for words, message in (
        ([ref, dis], "is raw and does not state its size; pass --size WxH"),
        ([ref, dis, "--size", "160by90"], "like 1920x1080"),
        ([ref, dis, *RAW, "--pix-fmt", "nv12"], "'nv12' of"),
        ([ref, tmp_path / "none.mkv", *RAW], "no file"),
        ([ref, "--manifest", ref], "needs a reference and a distorted video, or --manifest"),
        ([ref], "needs a reference and a distorted video, or --manifest"),
        ([ref, dis, *RAW, "--model", "vmaf_huge"], "no model vmaf_huge"),
        ([ref, dis, *RAW, "--model", tmp_path / "none.onnx"], "no file"),
        (
            [ref, dis, *RAW, "--model", "models:/vmaf_tiny/7"],
            "check the id and MLFLOW_TRACKING_URI",
        ),
    ):
        refused = call(*words)
        assert (refused.exit_code, message in refused.output) == (2, True), refused.output
        assert "Traceback" not in refused.output


def test_a_file_that_is_no_video_fails_with_ffmpegs_words(pairs, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    failed = call(tmp_path / "text.mp4", tmp_path / "text.mp4")
    assert (failed.exit_code, "Invalid data" in failed.output) == (1, True), failed.output


def test_a_sidecar_of_another_file_states_no_error(tmp_path):
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(Path(LITE).read_bytes())
    assert load_scorer(str(copy)).rmse is None
    copy.with_suffix(".json").write_text(Path(EXACT).with_suffix(".json").read_text())
    assert load_scorer(str(copy)).rmse is None
    copy.with_suffix(".json").write_text('{"sha256": "of another file"}')
    assert load_scorer(str(copy)).rmse is None
    copy.with_suffix(".json").write_text(Path(LITE).with_suffix(".json").read_text())
    assert load_scorer(str(copy)).rmse > 0


@pytest.fixture
def manifest(pairs, tmp_path):
    rows = [f"{pair.ref.path},{pair.dis.path},160x90" for pair in pairs]
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(["ref,dis,size", *rows]) + "\n")
    return path


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_manifests_pairs_land_in_one_file_and_are_not_scored_again(
    manifest, pairs, tmp_path, monkeypatch
):
    out = tmp_path / "scores.csv"
    assert call("--manifest", manifest, "--out", out).exit_code == 0
    rows = rows_of(out)
    assert sorted(row["dis"] for row in rows) == sorted(str(pair.dis.path) for pair in pairs)
    lone = json.loads(call(pairs[2].ref.path, pairs[2].dis.path, *RAW).stdout)
    (row,) = [row for row in rows if row["dis"] == str(pairs[2].dis.path)]
    assert {key: float(row[key]) for key in lone} == lone
    monkeypatch.setattr("vmaf_train.commands.score_manifest.score_video", None)
    assert call("--manifest", manifest, "--out", out).exit_code == 0
    assert rows_of(out) == rows
    monkeypatch.undo()
    # So is another reading of raw files.
    turned = tmp_path / "turned.csv"
    turned.write_text(manifest.read_text().replace("160x90", "90x160"))
    assert call("--manifest", turned, "--out", out).exit_code == 0
    assert len(rows_of(out)) == 2 * len(rows)
    # Another model is another score.
    assert call("--manifest", manifest, "--out", out, "--model", LITE).exit_code == 0
    assert len(rows_of(out)) == 3 * len(rows)


def test_a_pair_that_fails_is_told_and_the_same_command_goes_on_with_it(manifest, pairs, tmp_path):
    out, broken = tmp_path / "scores.csv", tmp_path / "later.yuv"
    manifest.write_text(manifest.read_text() + f"{pairs[0].ref.path},{broken},160x90\n")
    failed = call("--manifest", manifest, "--out", out)
    assert failed.exit_code == 1
    assert f"{broken}: no file" in failed.output
    assert len(rows_of(out)) == len(pairs)
    broken.write_bytes(pairs[1].dis.path.read_bytes())
    assert call("--manifest", manifest, "--out", out).exit_code == 0
    assert len(rows_of(out)) == len(pairs) + 1


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "ref,dis\n"])
def test_a_manifest_without_pairs_is_bad_input(content, tmp_path):
    (tmp_path / "pairs.csv").write_text(content)
    refused = call("--manifest", tmp_path / "pairs.csv")
    assert (refused.exit_code, "columns ref and dis" in refused.output) == (2, True)


@pytest.mark.parametrize("row", ["a.mkv", "a.mkv,", ",b.mkv"])
def test_a_manifest_row_that_lacks_a_file_is_bad_input(row, tmp_path):
    (tmp_path / "pairs.csv").write_text(f"ref,dis\na.mkv,b.mkv\n{row}\n")
    refused = call("--manifest", tmp_path / "pairs.csv")
    assert (refused.exit_code, "row 2 of 2 lacks ref or dis" in refused.output) == (2, True), (
        refused.output
    )


def test_a_spreadsheets_byte_order_mark_is_no_part_of_a_columns_name(manifest, pairs, tmp_path):
    manifest.write_text(manifest.read_text(), encoding="utf-8-sig")
    assert call("--manifest", manifest, "--out", tmp_path / "scores.csv").exit_code == 0
    assert len(rows_of(tmp_path / "scores.csv")) == len(pairs)


def test_a_table_that_ends_within_a_row_is_not_added_to(manifest, tmp_path):
    out = tmp_path / "scores.csv"
    assert call("--manifest", manifest, "--out", out).exit_code == 0
    torn = out.read_bytes()[:-20]
    out.write_bytes(torn)
    refused = call("--manifest", manifest, "--out", out)
    assert (refused.exit_code, "ends within a row" in refused.output) == (2, True), refused.output
    assert out.read_bytes() == torn


def test_a_table_of_something_else_is_not_added_to(manifest, tmp_path):
    (tmp_path / "scores.csv").write_text("my,own\n1,2\n")
    assert call("--manifest", manifest, "--out", tmp_path / "scores.csv").exit_code == 2
    assert (tmp_path / "scores.csv").read_text() == "my,own\n1,2\n"


def test_scoring_starts_without_torch_and_mlflow(pairs):
    code = f"""
import sys
from vmaf_train.cli import app
app({["score", str(pairs[0].ref.path), str(pairs[0].dis.path), *RAW, "--model", LITE]!r}, standalone_mode=False)
heavy = {{"torch", "mlflow", "scipy", "onnx", "pyarrow", "matplotlib", "filelock"}}
print(sorted(heavy & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
