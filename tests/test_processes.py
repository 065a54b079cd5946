"""Child processes: output, failures, and how they are ended."""

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from vmaf_train.errors import ExtractionError, InputError
from vmaf_train.processes import Processes, cores


def python(code):
    return [sys.executable, "-c", code]


def test_cores_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 7}, raising=False)
    assert cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores() == 6


def test_a_command_gets_input_folder_and_variables_and_its_output_is_returned(tmp_path):
    code = "import os, sys; print(os.getcwd(), os.environ['GIVEN'], sys.stdin.read(), end='')"
    out = Processes().run(python(code), tmp_path, b"text", {"GIVEN": "value"})
    assert out.decode() == f"{tmp_path.resolve()} value text"


def test_a_failure_names_status_last_words_and_command():
    code = "import sys; print(*'abcde', sep='\\n', file=sys.stderr); sys.exit(3)"
    with pytest.raises(ExtractionError, match=r"ended with status 3: c \| d \| e\. Command: .*-c"):
        Processes().run(python(code))


def test_a_full_disk_is_an_input_error():
    code = "import sys; sys.exit('No space left on device')"
    with pytest.raises(InputError, match="Free some space"):
        Processes().run(python(code))


def test_stop_kills_running_commands_and_refuses_new_ones():
    processes, failures = Processes(), []

    def run():
        try:
            processes.run(python("import time; time.sleep(60)"))
        except ExtractionError as error:
            failures.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    while not processes.running:
        threading.Event().wait(0.001)
    processes.stop()
    thread.join(timeout=10)
    assert "ended with status -9" in failures[0]
    assert processes.running == 0
    with pytest.raises(ExtractionError, match="stopped before it ran"):
        processes.run(python("pass"))


def sleeping(marker):
    """Return the number of processes whose command line holds a marker."""
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    return sum(marker in line for line in lines)


def test_a_command_that_takes_too_long_is_ended_with_its_children():
    marker = "time.sleep(61.5)"
    code = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; {marker}'])"
    )
    with pytest.raises(ExtractionError, match=r"did not end in 1 s and was stopped\. Command: "):
        Processes().run(python(code), seconds=1)
    for _ in range(100):
        if not sleeping(marker.encode()):
            return
        time.sleep(0.05)
    raise AssertionError("the child of the command still runs")


def test_only_the_end_of_standard_error_is_kept():
    code = "import sys; sys.stderr.write('x' * 300_000_000 + chr(10) + 'the end'); sys.exit(1)"
    before = peak()
    with pytest.raises(ExtractionError, match="the end"):
        Processes().run(python(code))
    assert peak() - before < 50


def peak():
    """Return the peak memory of this process, in megabytes."""
    (line,) = [x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x]
    return int(line.split()[1]) / 1024
