"""The benchmarks can be started, and what they share does what it says."""

import importlib
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import write_corpus

from vmaf_train.clips.layouts import scan
from vmaf_train.clips.video import YuvFormat
from vmaf_train.features import CANONICAL

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
# Modules that the others share.
SHARED = {BENCHMARKS / f"{name}.py" for name in ("common", "long_videos")}


@pytest.fixture(autouse=True)
def beside_the_benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    before = set(sys.modules)
    yield
    # Names as plain as these must not stay.
    for name in {path.stem for path in BENCHMARKS.glob("*.py")} - before:
        sys.modules.pop(name, None)


@pytest.fixture
def common():
    return importlib.import_module("common")


@pytest.mark.parametrize(
    "path",
    sorted(set(BENCHMARKS.glob("*.py")) - SHARED),
    ids=lambda path: path.stem,
)
def test_a_benchmark_asks_for_what_there_is(path):
    # Running it takes minutes; what it imports is looked up here.
    assert callable(runpy.run_path(str(path), run_name="benchmark")["main"])


def test_an_option_without_a_default_is_required(common):
    parser = common.make_parser("Words.", corpus=None, rounds=3)

    assert parser.parse_args(["--corpus", "here"]).rounds == 3
    with pytest.raises(SystemExit):
        parser.parse_args([])


def test_the_help_shows_the_docstring_as_it_is(common):
    assert "Two\n  lines." in common.make_parser("Two\n  lines.").format_help()


def test_lists_are_read_at_their_commas(common):
    parser = common.make_parser("", archs=["linear"])

    assert parser.parse_args([]).archs == ["linear"]
    assert parser.parse_args(["--archs", "cubic,mlp_bn"]).archs == ["cubic", "mlp_bn"]
    assert common.numbers("60,240") == [60, 240]


def test_a_corpus_stays_the_same_from_another_folder(common, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parser = common.make_parser("", corpus=None, assume_dims="auto")

    choice = common.choice_of(parser.parse_args(["--corpus", "clips", "--assume-dims", "16x16"]))
    assert (choice.corpus, choice.assume_dims) == (str(tmp_path / "clips"), "16x16")
    assert common.choice_of(parser.parse_args(["--corpus", "demo"])).is_demo


def test_ways_take_turns(common):
    order, rounds = [], []
    ways = {name: lambda name=name: order.append(name) or len(order) for name in ("a", "b")}

    assert common.in_turn(ways, 2, rounds.append) == {"a": [1, 3], "b": [2, 4]}
    assert order == ["a", "b", "a", "b"]
    assert rounds == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]


def test_ratios_are_those_of_the_same_round(common):
    assert common.ratios([1.0, 6.0], [2.0, 3.0]) == [0.5, 2.0]
    with pytest.raises(ValueError):
        common.ratios([1.0], [2.0, 3.0])


def test_times_are_subtracted_part_by_part(common):
    assert common.Took(3.0, 5.0) - common.Took(1.0, 2.0) == common.Took(2.0, 3.0)


def test_the_time_of_a_child_holds_its_cpu_and_its_waiting(common, tmp_path):
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    idle = "import time; time.sleep(0.3)"
    worked = common.timed([sys.executable, "-S", "-c", busy], cwd=tmp_path)
    waited = common.timed([sys.executable, "-S", "-c", idle], cwd=tmp_path)

    assert worked.cpu >= 0.29
    assert waited.wall >= 0.3
    assert waited.cpu < worked.cpu


def test_a_child_gets_its_variables_and_its_folder(common, tmp_path):
    write = "import os, pathlib; pathlib.Path('out').write_text(os.environ['GIVEN'])"
    common.timed([sys.executable, "-c", write], cwd=tmp_path, GIVEN="value")

    assert (tmp_path / "out").read_text() == "value"
    assert "GIVEN" not in os.environ


def test_a_command_that_fails_is_not_timed(common, tmp_path):
    with pytest.raises(subprocess.CalledProcessError):
        common.timed([sys.executable, "-c", "raise SystemExit(1)"], cwd=tmp_path)


def test_variables_are_as_before_afterwards(common, monkeypatch):
    monkeypatch.setenv("SET_BEFORE", "old")
    with common.variables(SET_BEFORE="new", UNSET_BEFORE="new"):
        assert os.environ["SET_BEFORE"] == os.environ["UNSET_BEFORE"] == "new"

    assert os.environ["SET_BEFORE"] == "old"
    assert "UNSET_BEFORE" not in os.environ


def test_a_throw_away_store_leaves_nothing(common):
    before = Path.cwd()
    with common.throw_away_store() as folder:
        assert Path.cwd() == folder.resolve()
        assert os.environ["MLFLOW_TRACKING_URI"] == f"sqlite:///{folder}/mlflow.db"

    assert Path.cwd() == before
    assert not folder.exists()


def test_the_cache_of_a_benchmark_starts_empty(common):
    with common.empty_cache() as folder:
        assert os.environ["VMAF_TINY_AI_CACHE"] == str(folder)
        assert list(folder.iterdir()) == []


def test_the_peak_grows_with_what_is_allocated():
    # In a process of its own: this one may have been larger before.
    lines = [
        "from common import peak_megabytes",
        "before = peak_megabytes()",
        "held = bytearray(b'x') * 100_000_000",
        "print(peak_megabytes() - before)",
    ]
    command = [sys.executable, "-c", "\n".join(lines)]
    grown = float(subprocess.check_output(command, cwd=BENCHMARKS))
    assert 80 < grown < 120


def test_a_table_is_markdown(common):
    assert common.header("way", "s") == "| way | s |\n|---|---|"
    assert common.row("cold", 1.5) == "| cold | 1.5 |"


def test_long_videos_are_montages_of_references_in_every_encode(ffmpeg, tmp_path):
    long_videos = importlib.import_module("long_videos")
    format = YuvFormat(160, 90)
    corpus = write_corpus(tmp_path / "c", frames=6, dims=(160, 90))
    refs = long_videos.references(scan(corpus, format).pairs)
    assert [path.name for path in refs] == ["Alpha_25fps.yuv", "Beta_25fps.yuv"]

    made = list(
        long_videos.make_long_videos(ffmpeg, refs, format, tmp_path / "m", montages=1, frames=50)
    )

    assert [video.encode for video in made] == list(long_videos.ENCODES)
    frames = frames_of(made[0].ref.path, format)
    assert len(frames) == 50
    # Some scenes are mirrored, which changes the order of a frame's pixels only.
    known = {bytes(sorted(frame)) for path in refs for frame in frames_of(path, format)}
    assert {bytes(sorted(frame)) for frame in frames} <= known
    for video in made:
        x_NF, _ = ffmpeg.features(video.ref, video.dis, CANONICAL, threads=0)
        assert len(x_NF) == 50


def frames_of(path, format):
    content, size = path.read_bytes(), format.frame_bytes
    return [content[start : start + size] for start in range(0, len(content), size)]
