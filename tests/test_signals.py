"""Signals: one line, whenever they come."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest


def ended(tmp_path, module: str) -> subprocess.CompletedProcess[str]:
    """Run a process that sends itself a signal while it imports a module."""
    (tmp_path / "slow.py").write_text(textwrap.dedent(module))
    code = (
        "from vmaf_train import signals; signals.install()\nimport slow\nimport time; time.sleep(9)"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_signal_during_an_import_waits_for_its_end(tmp_path):
    done = ended(
        tmp_path,
        """
        import os, signal, time
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.3)
        print("imported", flush=True)
        """,
    )
    assert done.stdout == "imported\n"
    assert "KeyboardInterrupt" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_a_command_that_starts_prints_no_traceback(number):
    process = subprocess.Popen(
        [sys.executable, "-m", "vmaf_train", "prewarm", "--corpus", "demo"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        process.wait(0.25)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
