"""Links to a run: its id, the command that starts the UI, and addresses in the UI."""

import json
from dataclasses import dataclass

import mlflow

from vmaf_train.tracking.store import without_password

LOCAL_UI = "http://127.0.0.1:5000"
# Without these, MLflow opens another mode of its UI, which shows no charts.
CHART_VIEW = "?compareRunsMode=CHART&workflowType=machine_learning"


@dataclass(frozen=True)
class Links:
    """Links to a run.

    Attributes:
        run_id: id of the run.
        start_ui: the command that starts the UI; None if a server already runs it.
        run: address of the run.
        charts: address of the charts of all runs of the experiment, or of a shared view.
    """

    run_id: str
    start_ui: str | None
    run: str
    charts: str


def links_to(run_id: str, view: str | None = None) -> Links:
    """Return the links to a run.

    Args:
        run_id: id of the run.
        view: key of a shared view to chart; None charts all runs of the experiment.
    """
    uri = without_password(mlflow.get_tracking_uri())
    experiment = mlflow.get_run(run_id).info.experiment_id
    served = uri.startswith("http")
    runs = f"{uri if served else LOCAL_UI}/#/experiments/{experiment}/runs"
    shared = f"&viewStateShareKey={view}" if view else ""
    return Links(
        run_id=run_id,
        start_ui=None if served else f"mlflow ui --backend-store-uri {uri}",
        run=f"{runs}/{run_id}",
        charts=f"{runs}{CHART_VIEW}{shared}",
    )


def share_view(run_id: str, tag: str, value: str, order_by: str, *, ascending: bool = True) -> str:
    """Store a shared view of a run's experiment, like "Share view" in the UI.

    The view holds the runs whose `tag` has this value, and charts all of these. By default, the UI
    charts only ten runs.

    Args:
        run_id: id of a run of the experiment.
        tag: name of the tag.
        value: value of the tag; also the view's key.
        order_by: name of the metric that orders the runs.
        ascending: whether the lowest value comes first.

    Returns:
        The view's key.
    """
    view = {
        "searchFilter": f"tags.{tag} = '{value}'",
        "orderByKey": f"metrics.`{order_by}`",
        "orderByAsc": ascending,
        "runsHiddenMode": "SHOW_ALL",
    }
    experiment = mlflow.get_run(run_id).info.experiment_id
    key = f"mlflow.sharedViewState.{value}"
    mlflow.MlflowClient().set_experiment_tag(experiment, key, json.dumps(view))
    return value
