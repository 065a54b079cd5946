"""Prewarm on Dask: a real scheduler and real workers on the loopback."""

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, closing, contextmanager

import psutil
import pytest
from conftest import write_corpus
from distributed import Client

from vmaf_train.commands.prewarm import prewarm
from vmaf_train.errors import ExtractionError, InputError
from vmaf_train.extraction import cluster
from vmaf_train.extraction.cache import cache_root
from vmaf_train.extraction.libvmaf import find_ffmpeg
from vmaf_train.extraction.passes import frame_scores
from vmaf_train.extraction.schedule import Pass
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.frames.finding import open_pairs
from vmaf_train.reporting import Reporter

pytestmark = pytest.mark.slow


@contextmanager
def started(*command, **variables):
    """Run a module of Python in a process that ends with the block."""
    out, env = subprocess.DEVNULL, {**os.environ, **variables}
    process = subprocess.Popen([sys.executable, "-m", *command], stdout=out, stderr=out, env=env)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def scheduler():
    """Run a scheduler on the loopback; return its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    # A pass is given up after the second worker that dies of it.
    variables = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    with started(
        "distributed.cli.dask_scheduler", "--no-dashboard", "--host", address, **variables
    ):
        with Client(address, timeout=30):
            yield address


@pytest.fixture
def start_workers(scheduler):
    """Return a function that starts workers with their own variables; they end with the test."""
    with ExitStack() as stack, Client(scheduler) as client:

        def start(number, **variables):
            worker = (
                "distributed.cli.dask_worker",
                "--no-nanny",
                "--no-dashboard",
                "--nthreads",
                "1",
                scheduler,
            )
            for _ in range(number):
                stack.enter_context(started(*worker, **variables))
            client.wait_for_workers(number, timeout=30)

        yield start
    with Client(scheduler) as client:
        while client.nthreads():
            threading.Event().wait(0.05)


@pytest.fixture
def workers(start_workers):
    """Start two workers."""
    start_workers(2)


def corpus_of(tmp_path, **options):
    return CorpusChoice(
        corpus=str(write_corpus(tmp_path / "corpus", **options)), assume_dims="64x64"
    )


def contents():
    """Return the content of every file of the cache, by name."""
    return {path.name: path.read_bytes() for path in cache_root().rglob("*.json")}


def children():
    """Return the ids of the worker processes that this process has started."""
    commands = {
        each.pid: " ".join(each.cmdline()) for each in psutil.Process().children(recursive=True)
    }
    return {pid for pid, command in commands.items() if "spawn_main" in command}


def test_two_local_workers_write_the_same_cache_as_no_cluster(tmp_path, monkeypatch):
    choice, lines, before = corpus_of(tmp_path, rungs=3), [], children()
    assert prewarm(choice, Reporter()).extracted == 6
    here = contents()
    monkeypatch.setenv("VMAF_TINY_AI_CACHE", str(tmp_path / "other"))
    reporter = Reporter()
    reporter.say = lines.append
    assert prewarm(choice, reporter, scheduler="local:2").extracted == 6
    assert contents() == here
    assert any(line.startswith("dashboard: http://") for line in lines)
    assert children() == before


def test_a_local_cluster_listens_only_on_the_loopback(ffmpeg):
    with cluster.cluster_workers("local:1", ffmpeg, Reporter())(()):
        family = [psutil.Process(), *psutil.Process().children(recursive=True)]
        connections = [each for process in family for each in process.net_connections("tcp")]
        listening = {each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_a_broken_pair_is_named_and_the_others_are_scored(scheduler, workers, ffmpeg, tmp_path):
    choice = corpus_of(tmp_path, rungs=4)
    pairs = open_pairs(choice, ffmpeg, Reporter()).pairs
    with pairs[2].dis.path.open("r+b") as file:
        file.truncate(0)
    with pytest.raises(InputError, match="not a whole number"):
        prewarm(choice, Reporter(), scheduler=scheduler)
    remote = cluster.cluster_workers(scheduler, ffmpeg, Reporter())
    with pytest.raises(ExtractionError, match=f"1 of 8 pairs failed.*{pairs[2].clip}"):
        list(frame_scores(pairs, ffmpeg, remote, Reporter()))
    assert len(contents()) == 7


def test_a_failed_pass_is_retried(scheduler, start_workers, fake_ffmpeg, tmp_path):
    failed = tmp_path / "failed"
    fail = f"[ -e {failed} ] || {{ : > {failed}; exit 9; }}"
    once = f'case "$*" in *.yuv*) {fail};; esac; exec "$REAL" "$@"'
    start_workers(1, VMAF_FFMPEG=str(fake_ffmpeg(once)))
    choice = corpus_of(tmp_path, sources=("Alpha",), rungs=1)
    assert prewarm(choice, Reporter(), scheduler=scheduler).extracted == 1
    assert failed.exists()


def test_a_pair_that_kills_its_workers_is_named(scheduler, start_workers, fake_ffmpeg, tmp_path):
    kills = fake_ffmpeg('case "$*" in *.yuv*) kill -9 $PPID;; esac; exec "$REAL" "$@"')
    start_workers(2, VMAF_FFMPEG=str(kills))
    choice = corpus_of(tmp_path, sources=("Alpha",), rungs=1)
    with pytest.raises(
        ExtractionError, match=r"1 of 1 pairs failed.*Alpha_10_64_100: lost with its worker"
    ):
        prewarm(choice, Reporter(), scheduler=scheduler)
    assert contents() == {}


def test_a_worker_with_another_libvmaf_ends_the_extraction(scheduler, workers, tmp_path):
    ffmpeg = find_ffmpeg()
    ffmpeg.libvmaf_version = "0.0"
    pairs = open_pairs(corpus_of(tmp_path), ffmpeg, Reporter()).pairs
    remote = cluster.cluster_workers(scheduler, ffmpeg, Reporter())
    with pytest.raises(
        InputError, match=rf"worker {socket.gethostname()} has libvmaf .*, this machine 0\.0"
    ):
        list(frame_scores(pairs, ffmpeg, remote, Reporter()))
    assert contents() == {}


def test_a_killed_worker_loses_no_pair(scheduler, workers, ffmpeg, tmp_path):
    choice = corpus_of(tmp_path, sources=("Alpha", "Beta", "Gamma", "Delta"), rungs=6, frames=250)
    pairs = open_pairs(choice, ffmpeg, Reporter()).pairs
    remote = cluster.cluster_workers(scheduler, ffmpeg, Reporter())
    with (
        closing(frame_scores(pairs, ffmpeg, remote, Reporter())) as scored,
        Client(scheduler) as client,
    ):
        indices = [next(scored).index]
        pids = client.run(os.getpid)
        busy = next(address for address, passes in client.processing().items() if passes)
        os.kill(pids[busy], signal.SIGKILL)
        indices += [each.index for each in scored]
        assert list(client.nthreads()) == [address for address in pids if address != busy]
    assert sorted(indices) == list(range(24))
    assert prewarm(choice, Reporter()).extracted == 0


def test_an_interrupted_prewarm_resumes_where_it_stopped(scheduler, workers, tmp_path):
    choice = corpus_of(tmp_path, sources=("Alpha", "Beta", "Gamma", "Delta"), rungs=6, frames=150)

    class Interrupting(Reporter):
        """Interrupts after the first pair."""

        @contextmanager
        def extraction(self, pairs, frames):
            def advance(frames_of_pair):
                raise KeyboardInterrupt

            yield advance

    with pytest.raises(KeyboardInterrupt):
        prewarm(choice, Interrupting(), scheduler=scheduler)
    assert len(contents()) == 1
    again = prewarm(choice, Reporter(), scheduler=scheduler)
    assert (again.extracted, again.frames) == (23, 24 * 150)
    assert len(contents()) == 24


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "local:0", "somewhere"])
def test_an_absent_scheduler_is_an_input_error_with_the_command_to_start_one(
    address, tmp_path, monkeypatch
):
    monkeypatch.setattr(cluster, "TIMEOUT_SECONDS", 1)
    with pytest.raises(
        InputError, match=r"no Dask scheduler with a worker answers at .*dask scheduler"
    ):
        prewarm(corpus_of(tmp_path), Reporter(), scheduler=address)
    assert contents() == {}


def test_a_scheduler_without_workers_is_refused(scheduler, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "TIMEOUT_SECONDS", 1)
    with pytest.raises(InputError, match="dask worker --nthreads 1"):
        prewarm(corpus_of(tmp_path), Reporter(), scheduler=scheduler)


def test_a_pass_on_another_libvmaf_names_the_worker(ffmpeg, tmp_path):
    pairs = open_pairs(corpus_of(tmp_path), ffmpeg, Reporter()).pairs
    with pytest.raises(
        InputError, match=rf"worker {socket.gethostname()} has libvmaf .*, this machine 0\.0"
    ):
        cluster.libvmaf_pass(Pass(pairs[:1]), "0.0")


def test_a_worker_scores_with_the_teacher_of_this_machine(ffmpeg, tmp_path):
    (pair, *_) = open_pairs(corpus_of(tmp_path), ffmpeg, Reporter()).pairs
    (ours,), (theirs,) = (
        cluster.libvmaf_pass(Pass((pair,), teachers=(name,)), ffmpeg.libvmaf_version)
        for name in ("vmaf_v0.6.1", "vmaf_4k_v0.6.1")
    )
    assert ours.x_NF.tolist() == theirs.x_NF.tolist()
    assert (ours.scores["vmaf_v0.6.1"] < theirs.scores["vmaf_4k_v0.6.1"]).all()
