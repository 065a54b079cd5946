"""Passes over many pairs: cached scores first, failures by name, and how they end."""

import gc
import weakref
from concurrent.futures import CancelledError, Future
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from conftest import write_corpus

from vmaf_train.clips.layouts import scan
from vmaf_train.clips.video import YuvFormat
from vmaf_train.commands.prewarm import prewarm
from vmaf_train.errors import ExtractionError, InputError
from vmaf_train.extraction.cache import ClipCache, cache_root, identity_of
from vmaf_train.extraction.libvmaf import Ffmpeg, find_ffmpeg
from vmaf_train.extraction.passes import Workers, frame_scores, local_workers
from vmaf_train.extraction.schedule import Pass, plan
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.reporting import Reporter

SMALL = YuvFormat(64, 64)


def pairs_of(folder, **options):
    return scan(write_corpus(folder, **options), SMALL).pairs


def extract(pairs, ffmpeg, cores=2):
    return frame_scores(pairs, ffmpeg, local_workers(ffmpeg, cores), Reporter())


def same(a, b):
    return (
        a.features == b.features
        and np.array_equal(a.x_NF, b.x_NF)
        and a.scores.keys() == b.scores.keys()
        and all(np.array_equal(a.scores[name], b.scores[name]) for name in a.scores)
    )


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_a_shared_pass_scores_each_pair_as_a_pass_alone(ffmpeg, tmp_path, threads):
    pairs = pairs_of(tmp_path / "c", sources=("Alpha",), rungs=3, frames=8)
    together = ffmpeg.extract(Pass(pairs, threads))
    assert len({scores.scores["vmaf_v0.6.1"].tobytes() for scores in together}) == 3
    for pair, scores in zip(pairs, together, strict=True):
        assert same(scores, ffmpeg.extract(Pass((pair,)))[0])


def test_cached_pairs_come_first_and_every_pair_comes_once(ffmpeg, tmp_path):
    pairs = pairs_of(tmp_path / "c", rungs=3)
    known = list(extract(pairs[2:4], ffmpeg))
    assert [each.extracted for each in known] == [True, True]
    scored = list(extract(pairs, ffmpeg))
    assert [(each.index, each.extracted) for each in scored[:2]] == [(2, False), (3, False)]
    assert sorted(each.index for each in scored) == list(range(6))
    assert all(each.extracted for each in scored[2:])
    for each in scored:
        assert same(each.scores, ffmpeg.extract(Pass((pairs[each.index],)))[0])
    assert not any(each.extracted for each in extract(pairs, ffmpeg))


def test_a_bad_pair_in_a_shared_pass_is_named_and_the_others_are_scored(ffmpeg, tmp_path):
    pairs = pairs_of(tmp_path / "c", rungs=4)
    assert max(len(job.pairs) for job in plan(pairs, 1, 1)) == 4
    with pairs[1].dis.path.open("r+b") as file:
        file.truncate(4 * SMALL.frame_bytes)
    pairs[6].dis.path.unlink()
    with pytest.raises(ExtractionError, match="2 of 8 pairs failed") as caught:
        list(extract(pairs, ffmpeg, cores=1))
    assert pairs[1].clip in str(caught.value) and pairs[6].clip in str(caught.value)
    cache = ClipCache(cache_root())
    stored = [
        cache.load(pair, identity_of(pair, ffmpeg.libvmaf_version)) is not None for pair in pairs
    ]
    assert stored == [index not in (1, 6) for index in range(8)]


@pytest.mark.parametrize(("broken", "more"), [(3, ""), (5, "; and 2 more")])
def test_an_error_names_three_failed_pairs_and_counts_the_rest(broken, more, ffmpeg, tmp_path):
    pairs = pairs_of(tmp_path / "c", rungs=3)
    for pair in pairs[:broken]:
        pair.dis.path.unlink()
    with pytest.raises(ExtractionError, match=f"{broken} of 6 pairs failed") as caught:
        list(extract(pairs, ffmpeg))
    assert str(caught.value).count("ended with status") == 3
    assert ("; and " in str(caught.value)) == bool(more) and str(caught.value).endswith(more)


@pytest.mark.parametrize(
    ("loss", "reason"),
    [(CancelledError(), "CancelledError"), (ConnectionError("worker gone"), "worker gone")],
)
def test_a_pair_lost_with_its_worker_is_named_and_the_others_are_scored(
    loss, reason, ffmpeg, tmp_path
):
    pairs = pairs_of(tmp_path / "c", rungs=3)

    def submit(job):
        future = Future()
        if pairs[1] in job.pairs:
            future.set_exception(loss)
        else:
            future.set_result(ffmpeg.extract(job))
        return future

    @contextmanager
    def one_worker(pairs):
        losses = (ConnectionError, *Workers.losses)
        yield Workers(submit, count=1, cores=1, losses=losses)

    with pytest.raises(
        ExtractionError, match=rf"1 of 6 pairs .*{pairs[1].clip}: lost with its worker \({reason}\)"
    ):
        list(frame_scores(pairs, ffmpeg, one_worker, Reporter()))
    assert len(list(cache_root().rglob("*.json"))) == 5


def test_a_full_disk_ends_the_extraction_at_once(fake_ffmpeg, tmp_path):
    runs = tmp_path / "runs"
    full = 'case "$*" in *.yuv*) echo No space left on device >&2; exit 1; esac; exec "$REAL" "$@"'
    ffmpeg = Ffmpeg(fake_ffmpeg(f"echo >> {runs}; {full}"))
    pairs = pairs_of(tmp_path / "c", sources=("Alpha", "Beta", "Gamma", "Delta"), rungs=1)
    with pytest.raises(InputError, match="Free some space"):
        list(extract(pairs, ffmpeg, cores=1))
    # The probe, the pass that failed, and at most one that had started meanwhile.
    assert len(runs.read_text()) <= 3


def test_yielded_scores_are_not_kept_in_memory(ffmpeg, tmp_path):
    pairs, alive, most = pairs_of(tmp_path / "c", rungs=4), weakref.WeakSet(), []
    for each in extract(pairs, ffmpeg, cores=1):
        alive.add(each.scores)
        del each
        gc.collect(0)
        most.append(len(alive))
    # A pass holds four; its scores are yielded one by one.
    assert max(most) <= 4 and len(most) == 8
    for each in extract(pairs, ffmpeg):
        alive.add(each.scores)
        del each
        assert len(alive) <= 1


def test_closing_early_ends_the_running_passes(tmp_path):
    ffmpeg = find_ffmpeg()
    pairs = pairs_of(tmp_path / "c", sources=("Alpha", "Beta", "Gamma"), rungs=2, frames=300)
    with closing(extract(pairs, ffmpeg, cores=1)) as scored:
        next(scored)
    assert ffmpeg.running == 0
    with pytest.raises(ExtractionError, match="stopped before it ran"):
        ffmpeg.extract(Pass(pairs[:1]))
    assert len(list(cache_root().rglob("*.json"))) == 1


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_at_most_jobs_passes_run_at_once(jobs, fake_ffmpeg, tmp_path, monkeypatch):
    log = tmp_path / "log"
    # Each process notes its start and end; the probe is the first.
    ffmpeg = fake_ffmpeg(
        f'echo + >> {log}; "$REAL" "$@"; status=$?; sleep 0.1; echo - >> {log}; exit $status'
    )
    monkeypatch.setenv("VMAF_FFMPEG", str(ffmpeg))
    corpus = write_corpus(tmp_path / "c", sources=("Alpha", "Beta", "Gamma", "Delta"), rungs=1)
    choice = CorpusChoice(corpus=str(corpus), assume_dims="64x64", jobs=jobs)
    assert prewarm(choice, Reporter()).extracted == 4
    running = np.cumsum([1 if line == "+" else -1 for line in log.read_text().split()])
    assert running.max() == jobs


def test_a_missing_cache_folder_is_made(ffmpeg, tmp_path, monkeypatch):
    monkeypatch.setenv("VMAF_TINY_AI_CACHE", str(Path(tmp_path, "not", "yet")))
    assert len(list(extract(pairs_of(tmp_path / "c"), ffmpeg))) == 4
