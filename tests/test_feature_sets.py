"""Feature sets beside the canonical one: what a lighter pass gives, and the teacher for what it lacks."""

import dataclasses
import json

import numpy as np
import pytest
from conftest import write_corpus

from vmaf_train.clips.layouts import scan
from vmaf_train.clips.video import YuvFormat
from vmaf_train.commands.evaluate import evaluate_model
from vmaf_train.commands.prewarm import prewarm
from vmaf_train.commands.sweep import sweep
from vmaf_train.commands.train import train
from vmaf_train.errors import InputError
from vmaf_train.extraction.libvmaf import Ffmpeg
from vmaf_train.extraction.schedule import Pass
from vmaf_train.features import (
    ADM_DETAILS,
    CANONICAL,
    FEATURE_SETS,
    FeatureSet,
    find_feature_set,
    set_of,
)
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.frames.splits import split
from vmaf_train.reporting import Reporter
from vmaf_train.students.settings import Job, Settings
from vmaf_train.students.training import fit, fit_many
from vmaf_train.teacher.completion import CompletedTeacher
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

# Sets of other features are for other teachers.
LOGGED = tuple(
    name for name, row in FEATURE_SETS.items() if set(row.features) <= set(DEFAULT_TEACHER.logged)
)
LIGHTER = tuple(name for name in LOGGED if name != CANONICAL.name)
SHORT = Settings(epochs=2, teacher_points=256)


@pytest.fixture(scope="module")
def table(make_table):
    """Rows whose finest VIF scale follows from the others, with columns for every set."""
    made = make_table()
    x_NF = made.x_NF.copy()
    x_NF[:, 1] = 0.8 * x_NF[:, 2] + 0.1 * x_NF[:, 0] - 0.05
    details_NF = np.random.default_rng(2).uniform(0.2, 1.0, (len(made), len(ADM_DETAILS)))
    y_N = DEFAULT_TEACHER.score(x_NF, CANONICAL.features)
    return dataclasses.replace(
        made, features=DEFAULT_TEACHER.logged, x_NF=np.hstack([x_NF, details_NF]), y_N=y_N
    )


@pytest.mark.parametrize("name", LOGGED)
def test_a_pass_for_one_set_gives_what_the_whole_pass_gives(name, ffmpeg, tmp_path):
    (pair, *_) = scan(write_corpus(tmp_path / "c", dims=(160, 90)), YuvFormat(160, 90)).pairs
    (whole,) = ffmpeg.extract(Pass((pair,)))
    wanted = FEATURE_SETS[name]
    x_NF, remarks = ffmpeg.features(pair.ref, pair.dis, wanted, threads=1)
    assert remarks == []
    assert (
        x_NF.tolist() == whole.x_NF[:, [whole.features.index(f) for f in wanted.features]].tolist()
    )


def test_the_lighter_passes_skip_what_their_sets_do_not_read(fake_ffmpeg, tmp_path):
    (kept := tmp_path / "kept").mkdir()
    keep = f"cp 0.json {kept}/$(ls {kept} | wc -l).json"
    ffmpeg = Ffmpeg(fake_ffmpeg(f'"$REAL" "$@"; status=$?; {keep}; exit $status'))
    (pair, *_) = scan(write_corpus(tmp_path / "c"), YuvFormat(64, 64)).pairs
    for row in FEATURE_SETS.values():
        ffmpeg.features(pair.ref, pair.dis, row, threads=0)
    # 0.json is from the probe that every Ffmpeg starts with.
    logs = [json.loads((kept / f"{number}.json").read_text()) for number in (1, 2, 3)]
    canonical, lite, fast = (log["frames"][1]["metrics"] for log in logs)
    assert canonical["integer_vif_scale0"] > 0 and lite["integer_vif_scale0_ssclz"] == 0
    assert not any("vif" in key for key in fast)
    assert not any("vmaf" in key for row in (canonical, lite, fast) for key in row if key.islower())


def test_sets_are_known_by_name_and_by_their_features():
    assert [set_of(row.features) for row in FEATURE_SETS.values()] == list(FEATURE_SETS.values())
    assert set_of(("adm2", "motion2")) is None
    with pytest.raises(
        InputError, match="unknown features 'huge'; choose one of: canonical, lite, fast"
    ):
        find_feature_set("huge")


def test_a_set_that_lacks_nothing_has_the_teacher_itself(table):
    x_NF = table.select(CANONICAL.features).x_NF
    completed = CompletedTeacher(DEFAULT_TEACHER, CANONICAL.features, x_NF, table.select(()).x_NF)
    assert (
        completed.score(x_NF).tolist() == DEFAULT_TEACHER.score(x_NF, CANONICAL.features).tolist()
    )


def test_what_the_teacher_lacks_is_predicted_from_the_rest(table):
    lite = table.select(FEATURE_SETS["lite"].features).x_NF
    completed = CompletedTeacher(
        DEFAULT_TEACHER,
        FEATURE_SETS["lite"].features,
        lite,
        table.select(DEFAULT_TEACHER.missing_from(lite_names())).x_NF,
    )
    # Here the missing scale is a linear function of the others.
    np.testing.assert_allclose(completed.score(lite), table.y_N, atol=1e-6)


def lite_names():
    return FEATURE_SETS["lite"].features


def test_features_that_differ_by_rounding_alone_do_not_blow_the_prediction_up(table):
    draw = np.random.default_rng(0)
    x_NF = table.select(FEATURE_SETS["fast"].features).x_NF.copy()
    adm3, aim = (FEATURE_SETS["fast"].features.index(name) for name in ("adm3", "aim"))
    x_NF[:, adm3] = ((x_NF[:, 0] + 1 - x_NF[:, aim]) / 2).round(6)
    missing_NM = table.select(DEFAULT_TEACHER.missing_from(FEATURE_SETS["fast"].features)).x_NF
    completed = CompletedTeacher(DEFAULT_TEACHER, FEATURE_SETS["fast"].features, x_NF, missing_NM)
    moved_NF = x_NF + draw.normal(size=x_NF.shape) * 1e-3
    assert np.abs(completed.score(moved_NF) - completed.score(x_NF)).max() < 2


def test_the_held_out_source_has_no_say_in_the_prediction(table):
    wild = table.x_NF.copy()
    wild[np.array(table.clip_sources)[table.clip_N] == "Gamma"] **= 2
    job, settings = Job(("Gamma",), 0, 256), dataclasses.replace(SHORT, features="lite")
    tame, other = (
        fit_many("cubic", rows, [job], settings)[job]
        for rows in (table, dataclasses.replace(table, x_NF=wild))
    )
    assert [w.tolist() for w in tame.net.parameters()] == [
        w.tolist() for w in other.net.parameters()
    ]


@pytest.mark.parametrize("name", LIGHTER)
def test_a_student_of_a_set_reads_its_features_and_no_others(name, table):
    features = FEATURE_SETS[name].features
    train, val = split(table, "Gamma")
    fitted = fit("mlp_small", train, val, dataclasses.replace(SHORT, features=name))
    assert fitted.student.features == fitted.without_points.features == features
    narrow = train.select(DEFAULT_TEACHER.columns_for(features))
    assert len(narrow.features) < len(train.features) or name == "fast"
    again = fit("mlp_small", narrow, val, dataclasses.replace(SHORT, features=name))
    assert [w.tolist() for w in again.student.parameters()] == [
        w.tolist() for w in fitted.student.parameters()
    ]


@pytest.mark.parametrize("name", LIGHTER)
def test_from_prewarm_to_evaluate_a_set_is_one_word(name, demo_cache, store, monkeypatch):
    monkeypatch.setenv("VMAF_TINY_AI_CACHE", str(demo_cache))
    choice = CorpusChoice(max_pairs=27)
    assert prewarm(choice, Reporter(), features=name).extracted == 0
    settings = dataclasses.replace(SHORT, features=name)
    trained = train(choice, "quadratic", settings, Reporter(), val_source="auto")
    assert trained.report.model.features == trained.student.features == FEATURE_SETS[name].features
    assert trained.report.references["teacher_svr"].rmse < 1e-3
    assert trained.report.box is None
    run_id = trained.links.run_id
    judged = evaluate_model(choice, run_id, Reporter(), val_source="Weather", features=name)
    assert judged.report.rmse == trained.report.rmse
    with pytest.raises(InputError, match="which is not canonical; pass features=auto"):
        evaluate_model(choice, run_id, Reporter(), val_source="Weather", features="canonical")


def test_a_sweep_compares_archs_on_every_set_but_leaves_the_teacher_out_where_it_cannot_read(
    demo_cache, store, monkeypatch
):
    monkeypatch.setenv("VMAF_TINY_AI_CACHE", str(demo_cache))
    monkeypatch.setattr(
        "vmaf_train.students.architectures.ARCHITECTURES", some_archs("linear", "teacher_svr")
    )
    # No pass of the teacher gives this one, so it is not among all sets.
    monkeypatch.setitem(
        FEATURE_SETS, "other", FeatureSet("other", ("adm2_egl_1",), "name=adm", cost=0.3)
    )
    choice = CorpusChoice(max_pairs=18)
    swept = sweep(
        choice, SHORT, Reporter(), archs=(), folds=["Weather"], seeds=1, features=()
    ).comparison
    costs = {row.arch: row.extraction_cost for row in swept.rows}
    assert costs == {
        "linear": 1.0,
        "teacher_svr": 1.0,
        **{f"linear-{name}": FEATURE_SETS[name].cost for name in LIGHTER},
    }
    assert swept.rows[0].arch == "teacher_svr"
    with pytest.raises(
        InputError, match="the teacher, which reads 6 features, not 5; pass features=canonical"
    ):
        sweep(
            choice,
            SHORT,
            Reporter(),
            archs=["teacher_svr"],
            folds=["Weather"],
            seeds=1,
            features=["lite"],
        )


def some_archs(*names):
    from vmaf_train.students.architectures import ARCHITECTURES

    return {name: ARCHITECTURES[name] for name in names}
