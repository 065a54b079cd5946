"""Feature sets beside the canonical one, from prewarm to a sweep."""

import dataclasses

import pytest

from vmaf_train.commands.evaluate import evaluate_model
from vmaf_train.commands.prewarm import prewarm
from vmaf_train.commands.sweep import sweep
from vmaf_train.commands.train import train
from vmaf_train.errors import InputError
from vmaf_train.features import CANONICAL, FEATURE_SETS, FeatureSet
from vmaf_train.frames.splits import split
from vmaf_train.reporting import Reporter
from vmaf_train.students.architectures import ARCHITECTURES
from vmaf_train.students.settings import Job, Settings
from vmaf_train.students.training import fit, fit_many
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

# Feature sets beside the canonical one, all read from one pass of the default teacher.
LIGHTER = tuple(
    name
    for name, row in FEATURE_SETS.items()
    if row is not CANONICAL and set(row.features) <= set(DEFAULT_TEACHER.logged)
)
SHORT = Settings(epochs=2, teacher_points=256)


def test_a_held_out_source_does_not_change_the_prediction(wide_table):
    wild_NF = wide_table.x_NF.copy()
    wild_NF[wide_table.is_of("Gamma")] **= 2
    job, settings = Job(("Gamma",), 0, 256), dataclasses.replace(SHORT, features="lite")
    tame, other = (
        fit_many("cubic", rows, [job], settings)[job]
        for rows in (wide_table, dataclasses.replace(wide_table, x_NF=wild_NF))
    )
    assert [w.tolist() for w in tame.net.parameters()] == [
        w.tolist() for w in other.net.parameters()
    ]


@pytest.mark.parametrize("name", LIGHTER)
def test_a_student_of_a_set_reads_only_its_features(name, wide_table):
    features = FEATURE_SETS[name].features
    train, val = split(wide_table, "Gamma")
    fitted = fit("mlp_small", train, val, dataclasses.replace(SHORT, features=name))
    assert fitted.student.features == fitted.without_points.features == features
    narrow = train.select(DEFAULT_TEACHER.columns_for(features))
    assert len(narrow.features) < len(train.features) or name == "fast"
    again = fit("mlp_small", narrow, val, dataclasses.replace(SHORT, features=name))
    assert [w.tolist() for w in again.student.parameters()] == [
        w.tolist() for w in fitted.student.parameters()
    ]


@pytest.mark.parametrize("name", LIGHTER)
def test_prewarm_train_and_evaluate_work_on_a_set(name, demo_choice, store):
    choice = dataclasses.replace(demo_choice, max_pairs=27)
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


def test_a_sweep_over_sets_skips_the_teacher_where_features_are_missing(
    demo_choice, store, monkeypatch
):
    two = {name: ARCHITECTURES[name] for name in ("linear", "teacher_svr")}
    monkeypatch.setattr("vmaf_train.students.architectures.ARCHITECTURES", two)
    # No pass of the teacher gives this one, so it is not among all sets.
    other = FeatureSet("other", ("adm2_egl_1",), {"adm": {}}, cost=0.3)
    monkeypatch.setitem(FEATURE_SETS, other.name, other)
    choice = dataclasses.replace(demo_choice, max_pairs=18)
    options = {"folds": ["Weather"], "seeds": 1}
    swept = sweep(choice, SHORT, Reporter(), features=(), **options).comparisons[0]
    assert {row.arch: row.extraction_cost for row in swept.rows} == {
        "linear": 1.0,
        "teacher_svr": 1.0,
        **{f"linear-{name}": FEATURE_SETS[name].cost for name in LIGHTER},
    }
    assert swept.rows[0].arch == "teacher_svr"
    needs_all = "the teacher, which reads 6 features, not 9; pass features=canonical"
    with pytest.raises(InputError, match=needs_all):
        sweep(choice, SHORT, Reporter(), archs=["teacher_svr"], features=["lite"], **options)
