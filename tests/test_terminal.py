"""What is printed: progress where there is no terminal, and tables."""

import csv
import json

import numpy as np

from vmaf_train.commands.score import VideoScore
from vmaf_train.reporting import Epoch
from vmaf_train.terminal import TerminalReporter, print_gates, print_links, print_score
from vmaf_train.tracking.links import Links


def test_progress_without_a_terminal_is_a_line_at_the_start_and_at_the_end(capsys):
    with TerminalReporter().extraction(pairs=3, frames=18) as advance:
        for _ in range(3):
            advance(6)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "libvmaf: 1 of 3 pairs, 6 of 18 frames",
        "libvmaf: 3 of 3 pairs, 18 of 18 frames",
    ]


def test_an_interrupted_extraction_counts_the_pairs_in_the_cache(capsys):
    try:
        with TerminalReporter().extraction(pairs=3, frames=18) as advance:
            advance(6)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert "1 of 3 pairs are in the cache; the same command continues" in capsys.readouterr().err


def test_about_ten_epochs_of_a_fit_are_printed(capsys):
    for number in range(1, 31):
        TerminalReporter().epoch(Epoch(number, train_loss=0.01, val_rmse=2.0), of=30)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[-1] == "epoch  30: training loss 1.00e-02, held-out RMSE 2.000"


def test_a_score_is_json_or_csv(capsys):
    score = VideoScore(np.array([50.0, 70.0]))
    print_score(score, "json", per_frame=True)
    assert json.loads(capsys.readouterr().out) == {**score.pooled, "scores": [50.0, 70.0]}
    print_score(score, "csv", per_frame=True)
    rows = list(csv.reader(capsys.readouterr().out.splitlines()))
    assert rows == [["frame", "score"], ["0", "50.0"], ["1", "70.0"]]


def test_no_gates_print_no_table(capsys):
    print_gates([])
    assert capsys.readouterr().out == ""


def test_a_server_needs_no_command_that_starts_the_ui(capsys):
    print_links(Links("abc", None, "http://host/abc", "http://host/all"))
    assert capsys.readouterr().out.splitlines() == [
        "run abc",
        "this run:     http://host/abc",
        "all, charted: http://host/all",
    ]
