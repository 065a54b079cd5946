"""The tracking store: it is opened once per process, under a lock if it is local."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import mlflow
from filelock import FileLock

from vmaf_train.errors import InputError

SQLITE = "sqlite:///"
RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
# URIs of the tracking stores that this process has opened.
_opened: set[str] = set()


def open_store() -> None:
    """Open the tracking store, and make a local one if it is missing; call this before MLflow.

    Raises:
        InputError: the store cannot be used.
    """
    uri = mlflow.get_tracking_uri()
    if uri in _opened:
        return
    if _local_path(uri) is None and uri.count("@") > 1:
        raise InputError(
            "the user name or the password in MLFLOW_TRACKING_URI holds @; write it as %40, "
            "and / as %2F"
        )
    try:
        with few_retries(), store_lock(uri):
            mlflow.MlflowClient().search_experiments(max_results=1)
        _opened.add(uri)
    except Exception as error:  # errors of MLflow, SQLAlchemy, alembic and requests: no common base
        raise InputError(
            f"the MLflow store {without_password(uri)} cannot be used: "
            f"{without_password(first_line(error))}; set MLFLOW_TRACKING_URI to a running server "
            "or to sqlite:////path/of/mlflow.db "
            "(a file store also needs MLFLOW_ALLOW_FILE_STORE=true)"
        ) from error


@contextmanager
def store_lock(uri: str) -> Iterator[None]:
    """Hold the lock of a local store; a server needs no lock.

    If several processes make an SQLite store at once, it is damaged for good. If two processes
    register at once, a file store loses version numbers.
    """
    path = _local_path(uri)
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # One lock object per path, so that the holder can take the lock again.
    with FileLock(f"{path}.lock", is_singleton=True):
        yield


def without_password(text: str) -> str:
    """Return a text with the user names and passwords in its addresses replaced by ***."""
    return re.sub(r"//[^/@\s]*@", "//***@", text)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its type if it has no text."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _local_path(uri: str) -> Path | None:
    """Return the path of a local store; None for a server."""
    if uri.startswith(SQLITE):
        return Path(uri.removeprefix(SQLITE)).absolute()
    if "://" not in uri or uri.startswith("file:"):
        return Path(url2pathname(urlparse(uri).path)).absolute()
    return None


@contextmanager
def few_retries() -> Iterator[None]:
    """Let MLflow retry twice; its default of seven takes minutes if the server is not there."""
    before = os.environ.get(RETRIES)
    os.environ[RETRIES] = before or "2"
    try:
        yield
    finally:
        os.environ.pop(RETRIES)
        if before:
            os.environ[RETRIES] = before
