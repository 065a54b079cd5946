"""Runs that a kill left RUNNING, and those that must be left alone."""

import os
import subprocess
import sys

import mlflow
from commandline import call
from mlflow_runs import all_runs

from vmaf_train.tracking.orphans import PROCESS_TAG, close_orphans, own_process


def start(process: str) -> str:
    """Start a run that stays RUNNING, with the tag of a process."""
    run = mlflow.MlflowClient().create_run("0", tags={PROCESS_TAG: process})
    return run.info.run_id


def process_that_is_gone() -> str:
    code = "from vmaf_train.tracking.orphans import own_process; print(own_process())"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return ran.stdout.strip()


def test_a_run_whose_process_is_gone_is_ended_as_killed_and_says_so(store):
    run_id = start(process_that_is_gone())
    assert [orphan.run_id for orphan in close_orphans()] == [run_id]
    (run,) = all_runs()
    assert run.info.status == "KILLED"
    assert "is gone" in run.data.tags["error"]


def test_runs_of_living_processes_other_machines_and_unknown_ones_are_left_alone(store):
    start(own_process())
    start(f"elsewhere/1 {os.getpid()} 5")
    start("unknown")
    assert close_orphans() == []
    assert {run.info.status for run in all_runs()} == {"RUNNING"}


def test_another_process_with_the_same_id_does_not_keep_a_run(store):
    machine, pid, _ = own_process().rsplit(" ", 2)
    run_id = start(f"{machine} {pid} 1")
    assert [orphan.run_id for orphan in close_orphans()] == [run_id]


def test_the_command_lists_runs_and_ends_orphans(store):
    run_id = start(process_that_is_gone())
    assert "RUNNING" in call("runs").output
    assert f"ended {run_id}" in call("runs", "--close-orphans").output
