"""Prewarm: extracted pairs, cached pairs, failures, and the output of the command."""

import errno
import os
import sys
from dataclasses import replace

import mlflow
import pytest
from commandline import DIMS, call, files_below
from conftest import write_corpus
from mlflow_runs import only_run

from vmaf_train.commands.prewarm import prewarm
from vmaf_train.errors import ExtractionError, InputError
from vmaf_train.extraction.cache import cache_root
from vmaf_train.features import FeatureSet
from vmaf_train.files import write_whole
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.reporting import Reporter

NEWER = FeatureSet("newer", ("adm2", "psnr_hvs"), extractors={"psnr_hvs": {}}, cost=2.0)


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus")


@pytest.fixture
def choice(corpus):
    return CorpusChoice(corpus=str(corpus), assume_dims="64x64")


def test_only_pairs_that_the_cache_lacks_are_extracted(choice):
    first = prewarm(choice, Reporter())
    assert (first.extracted, len(first.scan.pairs), first.frames) == (4, 4, 24)
    pair = first.scan.pairs[0]
    (cache_root() / pair.source / f"{pair.clip}.json").unlink()
    again = prewarm(choice, Reporter())
    assert (again.extracted, len(again.scan.pairs), again.frames) == (1, 4, 24)


def test_only_the_wanted_sources_are_extracted(choice):
    done = prewarm(replace(choice, sources=("Beta",)), Reporter())
    assert (len(done.scan.pairs), done.frames) == (2, 12)
    assert [path.parent.name for path in files_below(cache_root())] == ["Beta", "Beta"]


def test_a_range_of_frames_is_cached_apart_from_whole_clips(choice):
    part = replace(choice, frames="2:5")
    done = [prewarm(each, Reporter()) for each in (part, part, choice)]
    assert [(each.extracted, each.frames) for each in done] == [(4, 12), (0, 12), (4, 24)]


def test_a_pass_that_hangs_is_stopped_named_and_stops_no_other(choice, monkeypatch, fake_ffmpeg):
    hangs = fake_ffmpeg('case "$*" in *Alpha*) sleep 600;; esac; exec "$REAL" "$@"')
    monkeypatch.setenv("VMAF_FFMPEG", str(hangs))
    monkeypatch.setattr("vmaf_train.extraction.libvmaf.START_SECONDS", 2.0)
    with pytest.raises(ExtractionError, match=r"Alpha.*did not end in 2 s and was stopped"):
        prewarm(choice, Reporter())
    assert [path.parent.name for path in files_below(cache_root())] == ["Beta", "Beta"]


def test_a_failed_pair_does_not_stop_the_others(choice, corpus, monkeypatch, fake_ffmpeg):
    clip = min(path.stem for path in (corpus / "dis").iterdir())
    broken = fake_ffmpeg(
        f'case "$*" in *{clip}*) echo broken pixels >&2; exit 9;; esac; exec "$REAL" "$@"'
    )
    monkeypatch.setenv("VMAF_FFMPEG", str(broken))
    message = f"1 of 4 pairs failed, the others are in the cache: {clip}: .*broken pixels"
    with pytest.raises(ExtractionError, match=message):
        prewarm(choice, Reporter())
    assert len(files_below(cache_root())) == 3


def test_a_full_disk_ends_the_prewarm_and_keeps_written_files(choice, monkeypatch):
    written = []

    def fills_up(path, content):
        if content and len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.extend([path] if content else [])
        write_whole(path, content)

    monkeypatch.setattr("vmaf_train.extraction.cache.write_whole", fills_up)
    with pytest.raises(InputError, match="No space left"):
        prewarm(replace(choice, jobs=1), Reporter())
    assert sorted(written) == files_below(cache_root())


def test_a_file_of_features_is_refused(exported):
    with pytest.raises(InputError, match="holds frame scores and no clips"):
        prewarm(CorpusChoice(corpus=str(exported)), Reporter())


def test_a_feature_that_libvmaf_does_not_log_is_named(choice, monkeypatch):
    monkeypatch.setattr("vmaf_train.commands.prewarm.find_feature_set", lambda name, own: NEWER)
    with pytest.raises(InputError, match="no psnr_hvs among the features adm2, "):
        prewarm(choice, Reporter(), features="newer")


def test_a_missing_extra_is_an_input_error_with_the_install_command(choice, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "vmaf_train.extraction.cluster", raising=False)
    with pytest.raises(InputError, match=r"pip install 'vmaf-train\[cluster\]'"):
        prewarm(choice, Reporter(), scheduler="local:1")


def test_a_given_run_gets_the_counts_as_metrics(choice, store, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", mlflow.MlflowClient().create_run("0").info.run_id)
    prewarm(choice, Reporter())
    counts = {"prewarm/pairs": 4, "prewarm/extracted": 4, "prewarm/frames": 24}
    assert (only_run().info.status, only_run().data.metrics) == ("FINISHED", counts)


# The command as a user types it.


def test_the_command_counts_pairs_frames_and_extractions(corpus):
    words = ["prewarm", "--corpus", corpus, *DIMS, "--sources", "Beta"]
    assert "2 pairs, 12 frames: 2 extracted, 0 already there" in call(*words).output
    assert "2 pairs, 12 frames: 0 extracted, 2 already there" in call(*words).output
    assert "2 pairs, 6 frames: 2 extracted" in call(*words, "--frames", "2:5").output


def test_the_command_lists_and_counts_files_that_are_left_out(corpus):
    (corpus / "dis" / "Gamma_10_32_50.yuv").write_bytes(bytes(64 * 64 * 3 // 2))
    (corpus / "dis" / "holiday.yuv").write_bytes(b"")
    result = call("prewarm", "--corpus", corpus, *DIMS)
    assert result.exit_code == 0, result.output
    assert "left out: dis/Gamma_10_32_50.yuv: no reference" in result.output
    assert "left out: dis/holiday.yuv: name is not" in result.output
    assert "4 pairs, 24 frames: 4 extracted, 0 already there, 2 files left out" in result.output


def test_a_failed_pair_exits_1_and_a_full_disk_exits_2(corpus, monkeypatch, fake_ffmpeg):
    for message, code in (("broken pixels", 1), ("No space left on device", 2)):
        script = f'case "$*" in *.yuv*) echo {message} >&2; exit 9;; esac; exec "$REAL" "$@"'
        monkeypatch.setenv("VMAF_FFMPEG", str(fake_ffmpeg(script)))
        result = call("prewarm", "--corpus", corpus, *DIMS)
        assert (result.exit_code, message in result.output) == (code, True), result.output


def test_an_empty_list_of_sources_is_bad_input(corpus):
    assert call("prewarm", "--corpus", corpus, *DIMS, "--sources", ",").exit_code == 2


def test_the_command_asks_the_named_scheduler(corpus):
    result = call("prewarm", "--corpus", corpus, *DIMS, "--scheduler", "nowhere")
    assert result.exit_code == 2, result.output
    assert "error: no Dask scheduler with a worker answers at nowhere" in result.output
    assert files_below(cache_root()) == []
