"""Take pictures of the MLflow UI for this folder: the charts of a sweep, its runs side by side.

Usage: MLFLOW_TRACKING_URI=sqlite:///… python docs/images/make.py SWEEP_RUN_ID
SWEEP_RUN_ID is the run of the comparison. The script needs selenium, and Chromium with its driver
on the PATH. It starts `mlflow ui` on the loopback interface and stops it at the end.
"""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.parse import quote

import mlflow
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from vmaf_train.commands.sweep import SWEEP_TAG
from vmaf_train.tracking.links import CHART_VIEW

HERE = Path(__file__).parent
QUIET = (
    "headless",
    "no-sandbox",
    "disable-gpu",
    "no-first-run",
    "disable-background-networking",
    "disable-sync",
)
# Plots hide their toolbar only if the browser has a mouse; a headless browser has none.
MOUSE = (
    "blink-settings=primaryHoverType=2,availableHoverTypes=2,"
    "primaryPointerType=4,availablePointerTypes=4"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(address: str) -> None:
    for _ in range(120):
        try:
            urllib.request.urlopen(address).close()
            return
        except URLError:
            time.sleep(0.5)
    raise SystemExit(f"mlflow ui does not answer at {address}")


def browser(width: int, height: int) -> webdriver.Chrome:
    options = Options()
    for flag in (*QUIET, MOUSE, f"window-size={width},{height}"):
        options.add_argument(f"--{flag}")
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def shoot(driver: webdriver.Chrome, address: str, drawn: str, name: str) -> None:
    """Take a picture of a page once it shows an element of the CSS selector `drawn`."""
    driver.get(address)
    # The page says that it has loaded before its plots are drawn.
    WebDriverWait(driver, 60).until(
        lambda page: len(page.find_elements(By.CSS_SELECTOR, drawn)) > 0
    )
    time.sleep(6)
    for close in driver.find_elements(By.CSS_SELECTOR, 'button[aria-label="Close"]'):
        close.click()
    time.sleep(2)
    driver.save_screenshot(str(HERE / name))
    print(name, driver.title)


@contextmanager
def serving() -> Iterator[str]:
    """Run `mlflow ui` on the store in use; yield its address."""
    port, store = free_port(), mlflow.get_tracking_uri()
    server = subprocess.Popen(["mlflow", "ui", "--backend-store-uri", store, "--port", str(port)])
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(address)
        yield address
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    sweep = mlflow.get_run(sys.argv[1])
    tag, experiment = sweep.data.tags[SWEEP_TAG], sweep.info.experiment_id
    runs = mlflow.search_runs([experiment], f"tags.{SWEEP_TAG} = '{tag}'", output_format="list")
    archs = [run.info.run_id for run in runs if "loso/mean_rmse" in run.data.metrics]
    with serving() as base:
        driver = browser(1700, 1500)
        charts = f"{base}/#/experiments/{experiment}/runs{CHART_VIEW}&viewStateShareKey={tag}"
        shoot(driver, charts, ".js-plotly-plot", "sweep-charts.png")
        chosen = f"runs={quote(json.dumps(archs))}&experiments={quote(json.dumps([experiment]))}"
        shoot(driver, f"{base}/#/compare-runs?{chosen}", ".js-plotly-plot", "sweep-compare.png")
        driver.quit()


if __name__ == "__main__":
    main()
