"""A folder of libvmaf logs as a corpus: the same table as its clips, and what is left out."""

import re
import shutil

import numpy as np
import pytest
from commandline import DIMS, call
from conftest import Lines, write_corpus
from log_writing import FORMS, write_log

from vmaf_train.clips.layouts import scan
from vmaf_train.clips.video import YuvFormat
from vmaf_train.errors import InputError
from vmaf_train.features import ADM_DETAILS, CANONICAL, FEATURE_SETS
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.frames.opening import open_corpus
from vmaf_train.frames.parquet import read_parquet


@pytest.fixture(scope="session")
def both(ffmpeg, tmp_path_factory):
    """Return a corpus, and a folder with a log of each pair, in all three forms."""
    folder = tmp_path_factory.mktemp("both")
    corpus = write_corpus(folder / "clips")
    (folder / "logs").mkdir()
    for index, pair in enumerate(scan(corpus, YuvFormat(64, 64)).pairs):
        form = FORMS[index % 2]
        write_log(ffmpeg, pair, folder / "logs" / f"{pair.clip}.{form}")
    return corpus, folder / "logs"


@pytest.fixture
def logs(both, tmp_path):
    """Return a copy of the folder of logs, to change."""
    return shutil.copytree(both[1], tmp_path / "logs")


@pytest.fixture
def pair(both):
    return scan(both[0], YuvFormat(64, 64)).pairs[0]


def opened(folder, features=(), *, smoke=False, **options):
    """Return the corpus of a folder, and the lines that were said."""
    lines = Lines()
    choice = CorpusChoice(corpus=str(folder), **options)
    return open_corpus(choice, lines, features, smoke=smoke), lines.said


def first(folder):
    """Return the first log of a folder, which is of clip Alpha_10_64_100."""
    return sorted(folder.iterdir())[0]


@pytest.mark.parametrize("features", [(), FEATURE_SETS["fast"].features])
def test_logs_give_the_table_of_the_clips_that_they_were_made_from(
    features, both, ffmpeg, no_ffmpeg, monkeypatch
):
    corpus, said = opened(both[1], features)
    assert said == []
    monkeypatch.delenv("VMAF_FFMPEG")
    expected, _ = opened(both[0], features, assume_dims="64x64")
    assert corpus.table(()).digest == expected.table(()).digest
    np.testing.assert_array_equal(corpus.table(()).x_NF, expected.table(()).x_NF)
    assert (corpus.clip_sources, corpus.teacher, corpus.libvmaf_version) == (
        expected.clip_sources,
        expected.teacher,
        expected.libvmaf_version,
    )
    assert corpus.table(("Beta",)).digest == expected.table(("Beta",)).digest


def test_a_list_in_the_folder_names_sources(logs):
    (logs / "sub").mkdir()
    names = {}
    for index, path in enumerate(sorted(logs.glob("*.*"))):
        moved = path.rename(logs / "sub" / f"take{index}{path.suffix}")
        names[moved.relative_to(logs)] = f"S{index // 2}"
    rows = "".join(f"{log},{source}\n" for log, source in names.items())
    (logs / "pairs.csv").write_text("log,source\n" + rows)
    corpus, said = opened(logs)
    assert (said, corpus.clip_sources) == ([], ("S0", "S0", "S1", "S1"))
    assert corpus.table(()).clips == ("sub/take0", "sub/take1", "sub/take2", "sub/take3")


BAD_LISTS = [
    ("log\na.json\n", "has no row with the columns log and source"),
    ("log,source\na.json\n", "row 1 of 1 lacks log or source"),
    ("log,source\na.json,a/b\n", "'a/b' is no name of a source"),
    ("log,source\n../a.json,A\n", r"\.\./a\.json is no path below the folder"),
]


@pytest.mark.parametrize(("text", "message"), BAD_LISTS)
def test_a_bad_list_is_refused(text, message, logs):
    (logs / "pairs.csv").write_text(text)
    with pytest.raises(InputError, match=rf"pairs\.csv.*{message}"):
        opened(logs)


def spoil(pattern, new):
    """Return a change of the text of a log."""
    return lambda path, *_: path.write_text(re.sub(pattern, new, path.read_text()))


def scored_with(options):
    """Return a change: the log of a pass with these options."""
    return lambda path, ffmpeg, pair: write_log(ffmpeg, pair, path, options)


LEFT_OUT = {
    "no source": (
        lambda path, *_: path.rename(path.with_name("take.json")),
        "take.json: no source",
    ),
    "no score": (spoil(r'"vmaf"', '"other"'), "Alpha_10_64_100.json: it holds no vmaf"),
    "no feature": (spoil("integer_adm2", "adm5"), "Alpha_10_64_100.json: it holds no adm2"),
    "subsampled": (scored_with("n_subsample=2"), "it holds only one frame in 2; a clip needs all"),
    "4K model": (scored_with("model=version=vmaf_4k_v0.6.1"), "scored by another model than"),
    "phone model": (
        scored_with(r"model='version=vmaf_v0.6.1\:enable_transform=true'"),
        "scored by another model than vmaf_v0.6.1",
    ),
    "NEG model": (scored_with("model=version=vmaf_v0.6.1neg"), "it holds no adm2, vif_scale0"),
    "no log": (lambda path, *_: path.write_text("{}"), "Alpha_10_64_100.json is no whole libvmaf"),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_an_unusable_log_is_left_out_with_a_line_or_an_error_if_strict(name, logs, ffmpeg, pair):
    change, message = LEFT_OUT[name]
    change(first(logs), ffmpeg, pair)
    corpus, (line,) = opened(logs)
    assert line.startswith("left out: ") and message in line
    assert corpus.clip_sources == ("Alpha", "Beta", "Beta")
    with pytest.raises(InputError, match=r"1 file\(s\) not usable and strict is on: .*json"):
        opened(logs, strict=True)


def test_a_score_is_the_teachers_up_to_a_hundredth(logs):
    text = first(logs).read_text()
    score = float(re.search(r'"vmaf": ([0-9.]+)', text)[1])
    assert score < 99
    for off, kept in ((0.009, 4), (0.011, 3)):
        first(logs).write_text(
            text.replace(f'"vmaf": {score:.6f}', f'"vmaf": {score + off:.6f}', 1)
        )
        assert len(opened(logs)[0].clip_sources) == kept


def test_features_that_only_some_logs_hold_are_dropped_unless_needed(logs):
    spoil("integer_aim", "aim_of_old")(first(logs))
    result = call("export-features", "out.parquet", "--corpus", logs)
    assert result.exit_code == 0, result.output
    assert "24 frames of 4 clips" in result.output
    held = read_parquet(logs.parent / "here" / "out.parquet")
    assert held.table.features == (*CANONICAL.features, *ADM_DETAILS[:-1])
    assert held.clips[0].identity["log"]["name"] == "Alpha_10_64_100.json"
    corpus, (line,) = opened(logs, ADM_DETAILS)
    assert "Alpha_10_64_100.json: it holds no aim" in line
    assert len(corpus.clip_sources) == 3


def test_of_two_logs_of_a_clip_the_one_that_states_its_version_is_used(logs, ffmpeg, pair):
    write_log(ffmpeg, pair, logs / f"{pair.clip}.csv")
    corpus, (line,) = opened(logs)
    assert line.endswith(".csv: a second log of the clip of Alpha_10_64_100.json")
    assert corpus.libvmaf_version == ffmpeg.libvmaf_version


def test_a_csv_log_states_no_version_and_so_the_corpus_states_none(logs, ffmpeg, pair):
    first(logs).unlink()
    write_log(ffmpeg, pair, logs / f"{pair.clip}.csv")
    assert opened(logs)[0].libvmaf_version == "unknown"


def test_logs_of_two_libvmaf_versions_are_refused(logs, ffmpeg):
    spoil(r'"version": "[^"]+"', '"version": "2.3.1"')(first(logs))
    message = f"different libvmaf versions: 1 of 2.3.1, 3 of {ffmpeg.libvmaf_version}"
    with pytest.raises(InputError, match=message):
        opened(logs)


def test_the_same_frames_under_two_sources_are_refused(logs):
    shutil.copy(first(logs), logs / "Gamma_10_64_100.json")
    with pytest.raises(InputError, match="give both one source name"):
        opened(logs)


def test_max_pairs_takes_the_sources_in_turn_and_a_smoke_has_only_zeros(logs):
    corpus, _ = opened(logs, max_pairs=2, smoke=True)
    assert (corpus.clip_sources, corpus.libvmaf_version) == (("Alpha", "Beta"), None)
    assert not corpus.table(()).x_NF.any()


@pytest.mark.parametrize("options", [{"frames": "0:4"}, {"assume_dims": "64x64"}])
def test_options_of_clips_are_refused(options, logs):
    with pytest.raises(InputError, match="frames as logged; leave frames and assume_dims out"):
        opened(logs, **options)


def test_a_folder_without_a_usable_log_is_refused_with_how_to_name_one(tmp_path):
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(InputError, match=r"no usable log in .*name a log after its dis, <source>_"):
        opened(tmp_path)


def test_logs_are_joined_with_other_corpora(both):
    corpus, _ = opened(f"{both[1]}+real", max_pairs=2)
    assert len(corpus.sources) == 4
    assert {"Alpha", "Beta"} < set(corpus.table(()).sources)


@pytest.mark.parametrize("command", ["prewarm", "main"])
def test_prewarm_of_logs_has_nothing_to_extract(command, both, store):
    refused = call(command, "--corpus", both[1])
    assert refused.exit_code == 2
    assert "holds libvmaf logs and no clips, so there is nothing to extract" in refused.output


def test_export_features_keeps_the_wanted_sources(both, tmp_path):
    words = ["export-features", tmp_path / "out.parquet", "--corpus", both[1], "--sources"]
    assert "12 frames of 2 clips" in call(*words, "Beta").output
    refused = call(*words, "Gamma")
    assert (refused.exit_code, "no log of source Gamma; it has Alpha, Beta" in refused.output) == (
        2,
        True,
    )


def test_a_training_from_logs_is_a_training_from_the_clips(both, store):
    digests = []
    for words in ([both[1]], [both[0], *DIMS]):
        done = call("train", "--arch", "linear", "--corpus", *words)
        assert done.exit_code == 0, done.output
        digests.append(re.search(r"run ([0-9a-f]{32})", done.output)[1])
    from mlflow import MlflowClient

    first, second = (MlflowClient().get_run(run).data for run in digests)
    assert first.tags["dataset_digest"] == second.tags["dataset_digest"]
    assert first.metrics["val/rmse"] == second.metrics["val/rmse"]
