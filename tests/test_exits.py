"""How a command ends: one line on standard error, and an exit code."""

import pytest
import typer

from vmaf_train.errors import ExtractionError, GateRefusedError, InputError, VmafTrainError
from vmaf_train.exits import exit_code
from vmaf_train.shipping.gates import Gate

ENDINGS = [
    (VmafTrainError("a store failed"), 1, "error: a store failed"),
    (ExtractionError("a pass failed"), 1, "error: a pass failed"),
    (InputError("[no] such file"), 2, "error: [no] such file"),
    (
        PermissionError(13, "Permission denied", "out.csv"),
        2,
        "error: out.csv: Permission denied; repair this and run again",
    ),
    (
        KeyboardInterrupt(),
        130,
        "interrupted; finished work is kept, and the same command continues from there",
    ),
]


@pytest.mark.parametrize(("error", "code", "line"), ENDINGS)
def test_an_error_is_one_line_and_an_exit_code(error, code, line, capsys):
    with pytest.raises(typer.Exit) as caught, exit_code():
        raise error
    assert caught.value.exit_code == code
    assert capsys.readouterr().err == f"{line}\n"


def test_a_refused_gate_prints_all_gates_and_exits_3(capsys):
    gates = [Gate("finished run", passed=True, fact="ok"), Gate("not worse", False, "RMSE 2")]
    with pytest.raises(typer.Exit) as caught, exit_code():
        raise GateRefusedError("run abc is not registered: not worse", gates)
    assert caught.value.exit_code == 3
    shown = capsys.readouterr()
    assert shown.err == "refused: run abc is not registered: not worse\n"
    for gate, word in zip(gates, ("passed", "REFUSED"), strict=True):
        (line,) = [line for line in shown.out.splitlines() if gate.name in line]
        assert word in line and gate.fact in line


def test_a_bug_is_not_hidden():
    with pytest.raises(ZeroDivisionError), exit_code():
        raise ZeroDivisionError
