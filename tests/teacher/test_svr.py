"""The teacher in NumPy: its scores against libvmaf's, and model files that are refused."""

import json

import numpy as np
import pytest

from vmaf_train.errors import InputError
from vmaf_train.features import CANONICAL
from vmaf_train.teacher.model_file import packaged_model, read_model
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

MODELS_OWN_ORDER = ("adm2", "motion2", "vif_scale0", "vif_scale1", "vif_scale2", "vif_scale3")


@pytest.fixture(scope="module")
def passes(demo_cache):
    """Features and scores of every frame of the demo corpus, as libvmaf logged them."""
    envelopes = [json.loads(path.read_text()) for path in sorted(demo_cache.glob("[A-Z]*/*.json"))]
    x_NF = np.concatenate(
        [np.column_stack([e["features"][name] for name in CANONICAL.features]) for e in envelopes]
    )
    return x_NF, np.concatenate([e["scores"]["vmaf_v0.6.1"] for e in envelopes])


def model_file(tmp_path, **changes):
    """Write the teacher's model file with some changes."""
    model = json.loads(packaged_model(DEFAULT_TEACHER.name).read_text())
    model["model_dict"] |= changes
    (tmp_path / "model.json").write_text(json.dumps(model))
    return tmp_path / "model.json"


def test_scores_match_libvmafs_log_on_the_demo_corpus(passes):
    x_NF, y_N = passes
    assert len(y_N) == 72 * 48
    assert np.abs(DEFAULT_TEACHER.score(x_NF, CANONICAL.features) - y_N).max() < 2e-4


def test_columns_are_matched_by_name_in_any_order(passes):
    x_NF, _ = passes
    teacher = DEFAULT_TEACHER
    assert teacher.svr.features == MODELS_OWN_ORDER != teacher.features == CANONICAL.features
    expected_N = teacher.score(x_NF, CANONICAL.features)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(6)
        names = tuple(CANONICAL.features[column] for column in order)
        np.testing.assert_array_equal(teacher.score(x_NF[:, order], names), expected_N)


def test_other_columns_change_no_score(passes):
    x_NF, _ = passes
    wider_NF = np.column_stack([np.full(len(x_NF), np.nan), x_NF])
    scored_N = DEFAULT_TEACHER.score(wider_NF, ("other", *CANONICAL.features))
    np.testing.assert_array_equal(scored_N, DEFAULT_TEACHER.score(x_NF, CANONICAL.features))


@pytest.mark.parametrize("chunk", [1, 7, 999, 1000, 1001])
def test_scores_do_not_depend_on_the_chunk_size(passes, chunk, monkeypatch):
    x_NF = passes[0][:1000]
    whole_N = DEFAULT_TEACHER.score(x_NF, CANONICAL.features)
    monkeypatch.setattr("vmaf_train.teacher.svr.ROWS_PER_CHUNK", chunk)
    in_chunks_N = DEFAULT_TEACHER.score(x_NF, CANONICAL.features)
    np.testing.assert_allclose(in_chunks_N, whole_N, rtol=0, atol=1e-9)


def test_scores_stay_in_0_to_100_and_reach_both_ends():
    x_NF = np.random.default_rng(0).uniform(0, 1.05, (5000, 6)) * (1, 1, 1, 1, 1, 40)
    y_N = DEFAULT_TEACHER.score(x_NF, CANONICAL.features)
    assert (y_N.min(), y_N.max()) == (0.0, 100.0)
    assert y_N.shape == (5000,) and y_N.dtype == np.float64


def test_no_rows_give_no_scores():
    assert DEFAULT_TEACHER.score(np.empty((0, 6)), CANONICAL.features).shape == (0,)


def test_the_transform_for_phones_in_the_file_is_not_applied(tmp_path, passes):
    x_NF = passes[0][:100]
    plain = read_model(model_file(tmp_path, score_transform={"p0": 50.0, "p1": 0.0, "p2": 0.0}))
    np.testing.assert_array_equal(
        plain.svr.score(x_NF, CANONICAL.features), DEFAULT_TEACHER.score(x_NF, CANONICAL.features)
    )


def test_a_transform_that_is_on_is_applied_before_the_clip(tmp_path, passes):
    transform = {"enabled": True, "p0": 5.0, "p1": 0.5, "p2": 0.01}
    bent = read_model(model_file(tmp_path, score_transform=transform)).svr
    s_N = DEFAULT_TEACHER.score(passes[0], CANONICAL.features, clip=False)
    expected_N = (5 + 0.5 * s_N + 0.01 * s_N**2).clip(0, 100)
    np.testing.assert_allclose(bent.score(passes[0], CANONICAL.features), expected_N, atol=1e-9)


def test_scores_are_clipped_as_the_file_states(tmp_path, passes):
    narrow = read_model(model_file(tmp_path, score_clip=[40.0, 60.0]))
    scored_N = narrow.svr.score(passes[0], CANONICAL.features)
    assert (scored_N.min(), scored_N.max()) == (40.0, 60.0)


def assert_refused(path, content=None):
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="is not a readable teacher model") as caught:
        read_model(path)
    assert caught.value.exit_code == 2
    assert str(path) in str(caught.value)
    assert "pip install --force-reinstall ffmpeg-quality-metrics" in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"not json",
        b"\xff\xfe",
        b"{}",
        b"[]",
        b"null",
        b'{"model_dict": null}',
        b'{"model_dict": {}}',
    ],
)
def test_a_missing_or_broken_model_file_is_an_input_error_with_the_next_step(tmp_path, content):
    assert_refused(tmp_path / "model.json", content)


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "BOOTSTRAP_LIBSVMNUSVR"},
        {"norm_type": "none"},
        {"model": "svm_type nu_svr\nrho 1\n"},
        {"model": "svm_type nu_svr\ngamma 0.04\nSV\n1 1:1\n"},
        {"model": "gamma 0.04\nrho 1\nSV\n1 9:1\n"},
        {"model": "gamma 0.04\nrho 1\nSV\nx 1:1\n"},
        {"model": None},
        {"feature_names": None},
        {"feature_names": ["odd"] * 6},
    ],
    ids=str,
)
def test_a_model_of_another_kind_is_an_input_error_with_the_next_step(tmp_path, change):
    assert_refused(model_file(tmp_path, **change))


def test_a_missing_package_is_an_input_error_with_the_next_step(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="run: pip install ffmpeg-quality-metrics"):
        packaged_model(DEFAULT_TEACHER.name)
