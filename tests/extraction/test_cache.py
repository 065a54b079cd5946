"""The cache: hits, misses, damaged files and full disks."""

import dataclasses
import errno
import json
import logging
import os
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import write_corpus

from vmaf_train.clips.layouts import scan
from vmaf_train.clips.video import YuvFormat
from vmaf_train.errors import InputError
from vmaf_train.extraction.cache import ClipCache, cache_root, identity_of, seal
from vmaf_train.extraction.logs import FrameScores
from vmaf_train.features import CANONICAL
from vmaf_train.teacher.teachers import DEFAULT_TEACHER, find_teacher

NAME = DEFAULT_TEACHER.name


@pytest.fixture
def pair(tmp_path):
    return scan(write_corpus(tmp_path / "corpus"), YuvFormat(64, 64)).pairs[0]


@pytest.fixture
def stored(pair):
    """Store random scores for the pair; return the cache, the identity and the scores."""
    rng = np.random.default_rng(1)
    cache, identity = ClipCache(cache_root()), identity_of(pair, "v1")
    scores = FrameScores(
        CANONICAL.features, rng.uniform(0, 1, (6, 6)), {NAME: rng.uniform(0, 100, 6)}
    )
    cache.store(pair, identity, scores)
    return cache, identity, scores


def test_loaded_scores_equal_the_stored_ones_exactly(pair, stored):
    cache, identity, scores = stored
    loaded = cache.load(pair, identity)
    assert loaded.features == scores.features
    np.testing.assert_array_equal(loaded.x_NF, scores.x_NF)
    np.testing.assert_array_equal(loaded.scores[NAME], scores.scores[NAME])


def test_a_clip_is_one_file_in_the_folder_of_its_source(pair, stored):
    assert [path.relative_to(cache_root()).as_posix() for path in cache_root().rglob("*.*")] == [
        f"Alpha/{pair.clip}.json"
    ]


def test_a_changed_modification_time_is_a_miss(pair, stored):
    os.utime(pair.dis.path, ns=(1, 1))
    (again, *_) = scan(pair.dis.path.parents[1], pair.format).pairs
    assert again.clip == pair.clip
    assert stored[0].load(again, identity_of(again, "v1")) is None


def test_another_identity_is_a_miss(pair, stored):
    cache, identity, _ = stored
    assert cache.load(pair, identity_of(pair, "v2")) is None
    assert cache.load(pair, identity.model_copy(update={"width": 32})) is None
    ref = dataclasses.replace(identity.ref, size=1)
    assert cache.load(pair, identity.model_copy(update={"ref": ref})) is None
    assert cache.load(pair, identity.model_copy(update={"schema_version": 1})) is None
    assert cache.load(pair, identity) is not None


def test_each_frame_range_has_its_own_entry(pair, stored):
    cache, _, _ = stored
    part = pair.between(2, 5)
    other = pair.between(1, 4)
    assert cache.load(part, identity_of(part, "v1")) is None
    scores = FrameScores(CANONICAL.features, np.ones((3, 6)), {NAME: np.ones(3)})
    cache.store(part, identity_of(part, "v1"), scores)
    assert len(cache.load(part, identity_of(part, "v1"))) == 3
    assert cache.load(other, identity_of(other, "v1")) is None
    assert len(cache.load(pair, identity_of(pair, "v1"))) == 6
    # The identity in the file counts, not the file's name.
    cache.path_of(part).rename(cache.path_of(other))
    assert cache.load(other, identity_of(other, "v1")) is None


def rewrite(path, change, *, sealed):
    """Change the content of an entry, with its hash or as an older version wrote it."""
    content = json.loads(path.read_text())
    del content["sha256"]
    body = json.dumps(change(content)).encode()
    path.write_bytes(seal(body) if sealed else body)


def damage(change):
    """Change the content of an entry; its hash is right."""
    return lambda path: rewrite(path, change, sealed=True)


def lie(change):
    """Change the content of an entry of an older version, which has no hash."""
    return lambda path: rewrite(path, change, sealed=False)


def with_score(score):
    return lie(lambda e: {**e, "scores": {NAME: [score, *e["scores"][NAME][1:]]}})


def with_feature(value):
    return lie(lambda e: {**e, "features": {**e["features"], "adm2": [value] * 6}})


def replaced(make):
    """Put something else in the place of an entry."""

    def change(path):
        path.unlink()
        make(path)

    return change


DAMAGES = {
    "a score changed by hand": lambda path: path.write_bytes(
        re.sub(rb"(\"scores\":.*?\[)\d+", rb"\g<1>41", path.read_bytes())
    ),
    "an old entry with a score of 150": with_score(150.0),
    "an old entry with a score of -20": with_score(-20.0),
    "an old entry with a score of 1e308": with_score(1e308),
    "an old entry with a feature of -3": with_feature(-3.0),
    "an old entry with a feature of 1e300": with_feature(1e300),
    "an old entry without frames": lie(
        lambda e: {**e, "features": {name: [] for name in e["features"]}, "scores": {NAME: []}}
    ),
    "a folder": replaced(lambda path: (path / "in it").mkdir(parents=True)),
    "a pipe": replaced(os.mkfifo),
    "a link to a device": replaced(lambda path: path.symlink_to("/dev/zero")),
    "a loop of links": replaced(lambda path: path.symlink_to(path)),
    "a link to nothing that can be read": replaced(lambda path: path.symlink_to("/proc/self/mem")),
    "more bytes than any entry has": lambda path: path.write_bytes(b" " * (1 << 20)),
    "deep nesting": lambda path: path.write_bytes(b"[" * 50_000),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "empty": lambda path: path.write_bytes(b""),
    "not a number": lambda path: path.write_text(
        path.read_text().replace(f'"{NAME}":[', f'"{NAME}":[NaN,')
    ),
    "another key": damage(lambda envelope: {**envelope, "extra": 1}),
    "a short column": damage(
        lambda envelope: {**envelope, "scores": {NAME: envelope["scores"][NAME][1:]}}
    ),
    "a missing feature": damage(
        lambda envelope: {**envelope, "features": {"adm2": envelope["features"]["adm2"]}}
    ),
    "an unknown feature": damage(
        lambda e: {**e, "features": {**e["features"], "psnr": e["features"]["adm2"]}}
    ),
}


def test_an_entry_of_an_older_version_serves_the_teacher_that_it_holds(pair, stored):
    cache, identity, scores = stored

    def of_one_teacher(content):
        identity = {**content["identity"], "schema_version": 2, "teacher": NAME}
        return {**content, "identity": identity, "teacher_scores": content.pop("scores")[NAME]}

    rewrite(cache.path_of(pair), of_one_teacher, sealed=False)
    loaded = cache.load(pair, identity)
    np.testing.assert_array_equal(loaded.x_NF, scores.x_NF)
    np.testing.assert_array_equal(loaded.scores[NAME], scores.scores[NAME])


def test_an_entry_without_a_hash_gets_one_when_it_is_read(pair, stored):
    cache, identity, _ = stored
    path = cache.path_of(pair)
    sealed = path.read_bytes()
    rewrite(path, lambda content: content, sealed=False)
    assert cache.load(pair, identity) is not None
    assert path.read_bytes() == sealed


def test_no_flipped_bit_of_an_entry_is_believed(pair, stored):
    cache, identity, _ = stored
    path = cache.path_of(pair)
    content = path.read_bytes()
    draw = np.random.default_rng(0)
    for bit in draw.choice(8 * len(content), 500, replace=False):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(flipped)
        assert cache.load(pair, identity) is None, f"bit {bit}"


def test_another_teachers_scores_join_the_entry(pair, stored):
    cache, identity, scores = stored
    other = find_teacher("vmaf_4k_v0.6.1")
    assert cache.load(pair, identity, [other]) is None
    added = dataclasses.replace(scores, scores={other.name: scores.scores[NAME] / 2})
    cache.store(pair, identity, added)
    both = cache.load(pair, identity, [DEFAULT_TEACHER, other])
    np.testing.assert_array_equal(both.scores[NAME], scores.scores[NAME])
    np.testing.assert_array_equal(both.scores[other.name], scores.scores[NAME] / 2)
    assert list(cache.load(pair, identity, [other]).scores) == [other.name]


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_a_miss_with_one_warning(name, pair, stored, caplog):
    cache, identity, scores = stored
    DAMAGES[name](cache.path_of(pair))
    with caplog.at_level(logging.WARNING):
        assert cache.load(pair, identity) is None
    assert [str(cache.path_of(pair)) in record.getMessage() for record in caplog.records] == [True]
    cache.store(pair, identity, scores)
    assert cache.load(pair, identity) is not None


def test_a_file_with_too_few_frames_is_a_miss(pair, stored):
    cache, identity, _ = stored
    assert cache.load(dataclasses.replace(pair, n_frames=7), identity) is None


def test_a_missing_file_is_a_miss_without_warning(pair, caplog):
    assert ClipCache(cache_root()).load(pair, identity_of(pair, "v1")) is None
    assert caplog.records == []


def test_a_full_disk_keeps_the_old_file_and_leaves_no_other(pair, stored, monkeypatch):
    cache, identity, scores = stored
    before = cache.path_of(pair).read_bytes()

    def write_some(path, content):
        with path.open("wb") as file:
            file.write(content[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", write_some)
    with pytest.raises(
        InputError, match=r"No space left on device; free some space or set VMAF_TINY_AI_CACHE"
    ):
        cache.store(pair, identity, scores)
    assert [path.read_bytes() for path in cache.path_of(pair).parent.iterdir()] == [before]


def test_an_unwritable_cache_is_found_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="set VMAF_TINY_AI_CACHE"):
        ClipCache(tmp_path / "file").check_writable()


def test_the_write_check_leaves_no_file(tmp_path):
    ClipCache(tmp_path / "new").check_writable()
    assert list((tmp_path / "new").iterdir()) == []


def test_the_default_folder_is_in_the_users_cache(monkeypatch):
    monkeypatch.delenv("VMAF_TINY_AI_CACHE")
    monkeypatch.setenv("HOME", "/somebody")
    assert cache_root().as_posix() == "/somebody/.cache/vmaf-tiny-ai"
