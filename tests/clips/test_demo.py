"""The demo corpus: its clips, its bytes, and that it is made once and whole."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from vmaf_train.clips import demo
from vmaf_train.clips.layouts import scan
from vmaf_train.clips.netflix import DIS_NAME, REF_NAME
from vmaf_train.clips.video import YuvFormat
from vmaf_train.errors import ExtractionError, InputError

REAL_FORMAT = YuvFormat(demo.WIDTH, demo.HEIGHT)


@pytest.fixture
def small(monkeypatch):
    """The real recipe, cut down to two sources and two rungs."""
    monkeypatch.setattr(demo, "SOURCES", demo.SOURCES[4:6])
    monkeypatch.setattr(demo, "RUNGS", demo.RUNGS[::7])
    return [name.removesuffix(".yuv") for pair in demo.clip_names() for name in pair]


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.yuv")}


def corpora_in(folder):
    """Return the corpora in a folder, finished or not."""
    return [path for path in folder.iterdir() if path.is_dir()]


def made_by(demo_cache):
    """Return the folder of the one corpus in a cache."""
    (folder,) = (path for path in (demo_cache / "_demo").iterdir() if path.is_dir())
    return folder


def test_every_clip_name_follows_the_netflix_grammar():
    for ref, dis in demo.clip_names():
        ref_match, dis_match = REF_NAME.fullmatch(ref), DIS_NAME.fullmatch(dis)
        assert ref_match and dis_match
        assert ref_match["source"] == dis_match["source"]
        assert float(ref_match["fps"]) == demo.FPS
    assert len(set(demo.clip_names())) == 72


def test_the_corpus_holds_exactly_the_named_clips(demo_cache):
    folder = made_by(demo_cache)
    named = {
        f"{kind}/{name}"
        for pair in demo.clip_names()
        for kind, name in zip(("ref", "dis"), pair, strict=True)
    }
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == named
    found = scan(folder, REAL_FORMAT, strict=True)
    assert [(pair.ref.path.name, pair.dis.path.name) for pair in found.pairs] == sorted(
        demo.clip_names(), key=lambda pair: pair[1]
    )
    assert {pair.n_frames for pair in found.pairs} == {demo.FRAMES}


def test_the_stated_size_is_the_size_on_disk(demo_cache):
    size = sum(path.stat().st_size for path in made_by(demo_cache).rglob("*.yuv"))
    assert size // 10**6 == demo.MEGABYTES


@pytest.mark.slow
def test_the_number_of_jobs_does_not_change_the_bytes(demo_cache, ffmpeg, tmp_path):
    again = demo.make_demo_corpus(tmp_path, ffmpeg.path, jobs=7)
    assert again.name == made_by(demo_cache).name
    assert files_of(again) == files_of(made_by(demo_cache))


def test_scores_cover_the_scale_and_every_source_spans_40_points(demo_cache):
    frames, pooled = [], {}
    for path in demo_cache.glob("[A-Z]*/*.json"):
        scores = json.loads(path.read_text())["scores"]["vmaf_v0.6.1"]
        frames += scores
        pooled.setdefault(path.parent.name, []).append(np.mean(scores))
    assert sorted(pooled) == [source.name for source in demo.SOURCES]
    every = np.concatenate(list(pooled.values()))
    assert len(every) == 72
    assert every.min() < 15 and every.max() > 95
    assert {
        source: np.ptp(scores) for source, scores in pooled.items() if np.ptp(scores) < 40
    } == {}
    filled, _ = np.histogram(frames, bins=np.arange(0, 101, 10))
    assert filled.min() > 50


def test_a_finished_corpus_is_not_made_again(small, ffmpeg, tmp_path):
    made: list[str] = []
    folder = demo.make_demo_corpus(tmp_path, ffmpeg.path, 2, made.append)
    assert sorted(made) == sorted(set(small))
    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob("*.yuv")}
    assert demo.make_demo_corpus(tmp_path, ffmpeg.path, 2, made.append) == folder
    assert len(made) == 6
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.yuv")} == stamps


def test_several_threads_make_the_corpus_once(small, ffmpeg, tmp_path):
    made: list[str] = []
    folders: list[object] = []
    barrier = threading.Barrier(4)

    def make():
        barrier.wait()
        folders.append(demo.make_demo_corpus(tmp_path, ffmpeg.path, 1, made.append))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 4 and len(set(folders)) == 1
    assert sorted(made) == sorted(set(small))


def test_several_processes_make_the_corpus_once(ffmpeg, tmp_path):
    code = (
        "import sys; from pathlib import Path; from vmaf_train.clips import demo\n"
        "demo.SOURCES, demo.RUNGS = demo.SOURCES[4:6], demo.RUNGS[::7]\n"
        "made = []\n"
        "folder = demo.make_demo_corpus(Path(sys.argv[1]), Path(sys.argv[2]), 1, made.append)\n"
        "print(folder, len(made))"
    )
    command = [sys.executable, "-c", code, tmp_path, ffmpeg.path]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate()[0].split() for process in running]
    assert {process.returncode for process in running} == {0}
    assert len({folder for folder, _ in said}) == 1
    assert sorted(int(count) for _, count in said) == [0, 0, 6]


def test_files_of_a_killed_process_are_made_again(small, ffmpeg, tmp_path):
    whole = demo.make_demo_corpus(tmp_path / "whole", ffmpeg.path, 2)
    part = tmp_path / "killed" / f"{whole.name}.part"
    (part / "ref").mkdir(parents=True)
    (part / "ref" / "Mosaic_25fps.yuv").write_bytes(b"torn")
    (part / "ref" / "Other_25fps.yuv").write_bytes(b"torn")
    made: list[str] = []
    folder = demo.make_demo_corpus(tmp_path / "killed", ffmpeg.path, 2, made.append)
    assert len(made) == 6
    assert files_of(folder) == files_of(whole)
    assert corpora_in(tmp_path / "killed") == [folder]


def test_an_interrupt_leaves_no_finished_corpus(small, ffmpeg, tmp_path):
    def interrupt(clip):
        raise KeyboardInterrupt

    whole = demo.make_demo_corpus(tmp_path / "whole", ffmpeg.path, 2)
    with pytest.raises(KeyboardInterrupt):
        demo.make_demo_corpus(tmp_path / "stopped", ffmpeg.path, 2, interrupt)
    assert not (tmp_path / "stopped" / whole.name).exists()
    assert files_of(demo.make_demo_corpus(tmp_path / "stopped", ffmpeg.path, 2)) == files_of(whole)


def test_corpora_of_other_recipes_are_kept(small, ffmpeg, tmp_path):
    folder = tmp_path / "demo"
    for name in ("0123456789ab", "mine"):
        (folder / name).mkdir(parents=True)
    made = demo.make_demo_corpus(folder, ffmpeg.path, 2)
    assert {path.name for path in folder.iterdir()} == {
        made.name,
        "0123456789ab",
        "mine",
        "making.lock",
    }


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"short")])
def test_a_corpus_with_a_missing_or_short_file_is_made_again(spoil, small, ffmpeg, tmp_path):
    made = demo.make_demo_corpus(tmp_path / "demo", ffmpeg.path, 2)
    whole = {path: path.read_bytes() for path in made.rglob("*.yuv")}
    spoil(next((made / "dis").iterdir()))
    assert demo.make_demo_corpus(tmp_path / "demo", ffmpeg.path, 2) == made
    assert {path: path.read_bytes() for path in made.rglob("*.yuv")} == whole


def test_another_recipe_makes_another_corpus(small, ffmpeg, tmp_path, monkeypatch):
    first = demo.make_demo_corpus(tmp_path / "a", ffmpeg.path, 2)
    monkeypatch.setattr(demo, "RUNGS", demo.RUNGS[:1])
    second = demo.make_demo_corpus(tmp_path / "a", ffmpeg.path, 2)
    assert second != first
    assert len(list((second / "dis").iterdir())) == 2


def test_another_ffmpeg_makes_another_corpus(small, ffmpeg, fake_ffmpeg, tmp_path):
    first = demo.make_demo_corpus(tmp_path / "a", ffmpeg.path, 2)
    other = fake_ffmpeg(
        '[ "$1" = -version ] && { echo "ffmpeg version other"; exit; }; exec "$REAL" "$@"'
    )
    assert demo.make_demo_corpus(tmp_path / "a", other, 2) != first


def test_the_folder_may_have_special_characters(small, ffmpeg, tmp_path):
    plain = demo.make_demo_corpus(tmp_path / "plain", ffmpeg.path, 2)
    odd = demo.make_demo_corpus(tmp_path / "it's a:b 100%d [x]", ffmpeg.path, 2)
    assert files_of(odd) == files_of(plain)


def test_a_failed_ffmpeg_is_quoted_and_leaves_no_finished_corpus(small, fake_ffmpeg, tmp_path):
    fail = 'echo "Unknown encoder libx264" >&2; exit 8'
    broken = fake_ffmpeg(f'case "$*" in *libx264*) {fail};; esac; exec "$REAL" "$@"')
    with pytest.raises(ExtractionError, match="Unknown encoder libx264") as caught:
        demo.make_demo_corpus(tmp_path / "demo", broken, 2)
    assert f"Command: {broken} " in str(caught.value)
    assert not [path for path in corpora_in(tmp_path / "demo") if path.suffix != ".part"]


def test_a_full_disk_is_an_input_error(small, fake_ffmpeg, tmp_path):
    fail = 'echo "No space left on device" >&2; exit 228'
    full = fake_ffmpeg(f'case "$*" in *lavfi*) {fail};; esac; exec "$REAL" "$@"')
    with pytest.raises(InputError, match="Free some space"):
        demo.make_demo_corpus(tmp_path / "demo", full, 2)


@pytest.mark.parametrize("place", ["demo", "demo/below"])
def test_an_unwritable_folder_is_an_input_error_with_the_next_step(small, ffmpeg, tmp_path, place):
    (tmp_path / "demo").write_text("a file in the folder's place")
    with pytest.raises(InputError, match="cannot make the demo corpus") as caught:
        demo.make_demo_corpus(tmp_path / place, ffmpeg.path, 2)
    assert caught.value.exit_code == 2
    assert str(tmp_path / place) in str(caught.value)
    assert "set VMAF_TINY_AI_CACHE" in str(caught.value)
