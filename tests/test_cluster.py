"""Prewarm on Dask: a real scheduler and real workers on the loopback."""

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, closing, contextmanager

import pytest
from conftest import write_corpus
from distributed import Client

from vmaf_train import cluster, pipeline
from vmaf_train.cache import cache_root
from vmaf_train.errors import ExtractionError, InputError
from vmaf_train.extraction import frame_scores
from vmaf_train.frames import CorpusChoice, open_pairs
from vmaf_train.reporting import Reporter
from vmaf_train.schedule import Pass

pytestmark = pytest.mark.slow


@contextmanager
def started(*command):
    process = subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def scheduler():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with started("distributed.cli.dask_scheduler", "--no-dashboard", "--host", address):
        with Client(address, timeout=30):
            yield address


@pytest.fixture
def workers(scheduler):
    """Start two workers without nannies; return their processes."""
    with ExitStack() as stack, Client(scheduler) as client:
        worker = ("distributed.cli.dask_worker", "--no-nanny", "--no-dashboard", "--nthreads", "1", scheduler)
        processes = [stack.enter_context(started(*worker)) for _ in range(2)]
        client.wait_for_workers(2, timeout=30)
        yield processes
    with Client(scheduler) as client:
        while client.nthreads():
            threading.Event().wait(0.05)


def corpus_of(tmp_path, **options):
    return CorpusChoice(str(write_corpus(tmp_path / "corpus", **options)), "64x64")


def contents():
    return {path.name: path.read_bytes() for path in cache_root().rglob("*.json")}


def test_two_local_workers_fill_the_cache_as_this_machine_does(tmp_path, monkeypatch):
    choice, lines = corpus_of(tmp_path, rungs=3), []
    assert pipeline.prewarm(choice, Reporter()).extracted == 6
    here = contents()
    monkeypatch.setenv("VMAF_TINY_AI_CACHE", str(tmp_path / "other"))
    reporter = Reporter()
    reporter.say = lines.append
    assert pipeline.prewarm(choice, reporter, "local:2").extracted == 6
    assert contents() == here
    assert any(line.startswith("dashboard: http://") for line in lines)


def test_a_poisoned_pair_is_named_after_its_retries_and_stops_no_other(scheduler, workers, tmp_path):
    choice = corpus_of(tmp_path, rungs=4)
    pairs = open_pairs(choice, None, Reporter()).pairs
    (tmp_path / "corpus" / "dis" / f"{pairs[2].clip}.yuv").write_bytes(bytes(6 * pairs[2].format.frame_bytes))
    with pairs[2].dis.open("r+b") as file:
        file.truncate(0)
    with pytest.raises(InputError, match="not a whole number"):
        pipeline.prewarm(choice, Reporter(), scheduler)
    place = cluster.on_a_cluster(scheduler, pipeline.find_ffmpeg().libvmaf_version, Reporter())
    with pytest.raises(ExtractionError, match=f"1 of 8 pairs failed.*{pairs[2].clip}"):
        list(frame_scores(pairs, pipeline.find_ffmpeg().libvmaf_version, place, Reporter()))
    assert len(contents()) == 7


def test_a_worker_that_is_killed_loses_nothing(scheduler, workers, tmp_path):
    choice = corpus_of(tmp_path, sources=("Alpha", "Beta", "Gamma", "Delta"), rungs=6, frames=250)
    version = pipeline.find_ffmpeg().libvmaf_version
    pairs = open_pairs(choice, None, Reporter()).pairs
    place = cluster.on_a_cluster(scheduler, version, Reporter())
    with closing(frame_scores(pairs, version, place, Reporter())) as scored, Client(scheduler) as client:
        places = [next(scored).place]
        pids = client.run(os.getpid)
        busy = next(address for address, passes in client.processing().items() if passes)
        os.kill(pids[busy], signal.SIGKILL)
        places += [each.place for each in scored]
        assert list(client.nthreads()) == [address for address in pids if address != busy]
    assert sorted(places) == list(range(24))
    assert pipeline.prewarm(choice, Reporter()).extracted == 0


def test_whoever_cancels_leaves_whole_files_and_goes_on_from_there(scheduler, workers, tmp_path):
    choice = corpus_of(tmp_path, sources=("Alpha", "Beta", "Gamma", "Delta"), rungs=6, frames=150)
    done = threading.Event()

    class Impatient(Reporter):
        @contextmanager
        def extraction(self, pairs, frames):
            def advance(frames_of_pair):
                done.set()
                raise KeyboardInterrupt

            yield advance

    with pytest.raises(KeyboardInterrupt):
        pipeline.prewarm(choice, Impatient(), scheduler)
    assert done.is_set() and len(contents()) == 1
    again = pipeline.prewarm(choice, Reporter(), scheduler)
    assert (again.extracted, again.frames) == (23, 24 * 150)
    assert len(contents()) == 24


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "local:0", "somewhere"])
def test_where_no_scheduler_answers_the_command_to_start_one_is_told(address, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE_SECONDS", 1)
    with pytest.raises(InputError, match=r"no Dask scheduler with a worker answers at .*dask scheduler"):
        pipeline.prewarm(corpus_of(tmp_path), Reporter(), address)
    assert contents() == {}


def test_a_scheduler_without_workers_is_refused(scheduler, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE_SECONDS", 1)
    with pytest.raises(InputError, match="dask worker --nthreads 1"):
        pipeline.prewarm(corpus_of(tmp_path), Reporter(), scheduler)


def test_a_worker_of_another_libvmaf_is_named(tmp_path):
    pairs = open_pairs(corpus_of(tmp_path), None, Reporter()).pairs
    with pytest.raises(InputError, match=rf"worker {socket.gethostname()} has libvmaf .*, this machine 0\.0"):
        cluster.libvmaf_pass(Pass(pairs[:1]), "0.0")


def test_without_the_extra_the_command_that_installs_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "vmaf_train.cluster")
    with pytest.raises(InputError, match=r"pip install 'vmaf-train\[cluster\]'"):
        pipeline.prewarm(corpus_of(tmp_path), Reporter(), "local:1")
