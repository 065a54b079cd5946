"""Figures of an evaluation, a fit and a sweep."""

import numpy as np
import pytest
from comparisons import compared, forty_clips, latency, result_of, row_of, table_of, three_archs

from vmaf_train.judging.evaluation import evaluate
from vmaf_train.judging.figures import evaluation_figures, sweep_figures, training_figure
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.reporting import Epoch
from vmaf_train.students.export import to_onnx
from vmaf_train.students.settings import Settings
from vmaf_train.students.training import fit


@pytest.fixture(scope="module")
def three():
    return three_archs(*forty_clips())


def test_sweep_figures_show_every_arch_and_every_source(three, tmp_path):
    figures = sweep_figures(three)
    assert set(figures) == {"rmse_by_arch.png", "rmse_by_cost.png", "rmse_by_source.png"}
    for name, figure in figures.items():
        figure.savefig(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    archs = [row.arch for row in three.rows]
    (boxes,), (heat, _) = figures["rmse_by_arch.png"].axes, figures["rmse_by_source.png"].axes
    assert [label.get_text() for label in boxes.get_xticklabels()] == archs
    assert [label.get_text() for label in heat.get_yticklabels()] == archs
    assert tuple(label.get_text() for label in heat.get_xticklabels()) == three.folds
    assert heat.texts[-1].get_text() == f"{three.rows[-1].folds['D'].mean:.2g}"
    parameters, speed, extraction = figures["rmse_by_cost.png"].axes
    assert {text.xy[0] for text in extraction.texts} == {1.0}
    assert {text.get_text(): text.xy for text in speed.texts} == {
        row.arch: (row.latency.row_p50_us, row.frames.rmse) for row in three.rows
    }
    assert len(parameters.texts) == 3


def test_with_several_extraction_costs_only_unbeaten_students_are_named(three):
    best = [
        row_of("best", 1, 9, cost=1.0),
        row_of("quick", 3, 1, cost=1.0),
        row_of("beaten", 4, 2, cost=1.0),
    ]
    rows = (row_of("svr", 0.1, 0.5, trained=False, cost=1.0), *best, row_of("less", 9, 8, cost=0.5))
    shown = three.model_copy(update={"folds": ("A",), "rows": rows})
    parameters, speed, cost = sweep_figures(shown)["rmse_by_cost.png"].axes
    assert {text.get_text() for text in speed.texts} == {"svr", "best", "quick", "less"}
    # All have seven parameters, and two costs.
    assert {text.get_text() for text in parameters.texts} == {"svr", "best", "less"}
    assert {text.get_text() for text in cost.texts} == {"svr", "best", "less"}


@pytest.mark.filterwarnings("error")
def test_a_sweep_of_one_arch_and_one_fold_can_be_drawn(tmp_path):
    table = table_of([("A", [10.0, 20.0]), ("A", [30.0, 35.0])])
    comparison = compared(table, only=result_of(table, np.arange(4.0)))
    (row,) = comparison.rows
    # Latencies at the edges of matplotlib's log ticks.
    for microseconds in (5.3, 6.4, 7.0):
        alone = row.model_copy(update={"latency": latency(microseconds)})
        shown = comparison.model_copy(update={"rows": (alone,)})
        for name, figure in sweep_figures(shown).items():
            figure.savefig(tmp_path / name)


def test_training_curves_have_one_point_per_epoch():
    history = [Epoch(1, train_loss=0.5, val_rmse=9.0), Epoch(2, train_loss=0.1, val_rmse=3.0)]
    loss, rmse = training_figure(history, "Beta")["training_curves.png"].axes
    assert loss.lines[0].get_xydata().tolist() == [[1, 0.5], [2, 0.1]]
    assert rmse.lines[0].get_xydata().tolist() == [[1, 9.0], [2, 3.0]]
    assert "Beta" in rmse.get_ylabel()


def test_a_fit_without_epochs_has_no_curves():
    assert training_figure([], "Beta") == {}


def test_figures_of_an_evaluation_show_every_frame_and_every_clip(make_table):
    table = make_table(clips=2, frames=5)
    student = fit("linear", table, table, Settings(teacher_points=0)).student
    loaded = OnnxStudent(to_onnx(student, {}), "it")
    report, score_N = evaluate(loaded, table, name="it", corpus="c", libvmaf_version=None)
    figures = evaluation_figures(report, score_N, table.y_N)
    (predicted,), (residual,), (bars,) = (figure.axes for figure in figures.values())
    assert list(figures) == [
        "predicted_vs_teacher.png",
        "residual_by_score.png",
        "rmse_by_clip.png",
    ]
    n_shown = [axes.collections[0].get_array().sum() for axes in (predicted, residual)]
    assert n_shown == [len(table)] * 2
    widths = {
        label.get_text(): bar.get_width()
        for label, bar in zip(bars.get_yticklabels(), bars.patches, strict=True)
    }
    assert widths == {clip: row.rmse for clip, row in report.per_clip.items()}
