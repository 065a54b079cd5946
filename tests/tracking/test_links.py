"""Links to a run: of a local store, of a server, and of a shared view."""

import json
from types import SimpleNamespace

import mlflow
import pytest

from vmaf_train.tracking.links import CHART_VIEW, LOCAL_UI, links_to, share_view


@pytest.fixture
def run_id(store):
    with mlflow.start_run() as run:
        return run.info.run_id


def test_links_of_a_local_store_come_with_the_command_that_starts_the_ui(run_id, store):
    links = links_to(run_id)
    assert links.run_id == run_id
    assert links.start_ui == f"mlflow ui --backend-store-uri {store}"
    assert links.run == f"{LOCAL_UI}/#/experiments/0/runs/{run_id}"
    assert links.charts == f"{LOCAL_UI}/#/experiments/0/runs{CHART_VIEW}"


def test_links_of_a_server_start_with_its_address_without_the_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:s3cret@host:5000")
    run = SimpleNamespace(info=SimpleNamespace(experiment_id="7"))
    monkeypatch.setattr(mlflow, "get_run", lambda run_id: run)
    links = links_to("abc")
    assert links.start_ui is None
    assert links.run == "http://***@host:5000/#/experiments/7/runs/abc"


def test_a_shared_view_is_kept_at_the_experiment_and_named_by_the_link(run_id):
    view = share_view(run_id, "sweep", "abc123", order_by="loso/mean_rmse")
    assert links_to(run_id, view).charts.endswith(f"{CHART_VIEW}&viewStateShareKey=abc123")
    tags = mlflow.get_experiment("0").tags
    kept = json.loads(tags["mlflow.sharedViewState.abc123"])
    assert kept["searchFilter"] == "tags.sweep = 'abc123'"
    assert (kept["orderByKey"], kept["orderByAsc"]) == ("metrics.`loso/mean_rmse`", True)
