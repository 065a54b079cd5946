"""Faults of a tracking server: a real one answers, and its answers are changed on the way."""

import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import mlflow
from common import VMAF_TRAIN, variables

from breaking.files import flipped
from breaking.harm import LIMIT, Harm, finish, in_group, run
from breaking.training import command, table_of, written
from vmaf_train.errors import VmafTrainError
from vmaf_train.shipping import fetching
from vmaf_train.shipping.candidate import find_candidate
from vmaf_train.shipping.registry import promoted_students

# What takes the place of a value in an answer.
VALUES: tuple[object, ...] = (
    *(None, 0, -1, 1e308, True, [], {}, [[]], [None]),
    *("", "x" * 5000, "\x1b[31m", "../../x"),
)
# Seconds that the commands wait for a server here, so that the faults end soon.
PATIENCE = 5.0
FILES = 20_000
Answer = tuple[int, str, bytes]
# Changes an answer: the path of the request, and the answer.
Change = Callable[[str, Answer], Answer]


def with_another_value(content: bytes, draw: random.Random) -> bytes:
    """Return JSON in which one value is replaced."""
    found = json.loads(content)
    places: list[tuple[dict[str, object] | list[object], object]] = []

    def walk(node: object) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                places.append((node, key))
                walk(value)
        elif isinstance(node, list):
            for index, value in enumerate(node):
                places.append((node, index))
                walk(value)

    walk(found)
    if not places:
        return b"[]"
    holder, key = draw.choice(places)
    holder[key] = draw.choice(VALUES)  # type: ignore[index, call-overload]
    return json.dumps(found).encode()


def _json(content: object) -> Answer:
    return 200, "application/json", json.dumps(content).encode()


def listed(*entries: dict[str, object]) -> Answer:
    return _json({"root_uri": "x", "files": list(entries)})


def changes(draw: random.Random) -> dict[str, Change]:
    """Return the changes of answers by name."""

    def value(path: str, answer: Answer) -> Answer:
        is_json = "json" in answer[1] and draw.random() < 0.4
        return (*answer[:2], with_another_value(answer[2], draw)) if is_json else answer

    def bits(path: str, answer: Answer) -> Answer:
        flips = "artifact" in path and answer[2] and "json" not in answer[1]
        return (*answer[:2], flipped(answer[2], draw)) if flips else answer

    def cut(path: str, answer: Answer) -> Answer:
        return (*answer[:2], answer[2][: draw.randrange(len(answer[2]) + 1)])

    def refuse(path: str, answer: Answer) -> Answer:
        code = draw.choice((400, 401, 403, 404, 500))
        return (code, *answer[1:]) if draw.random() < 0.3 else answer

    def text(path: str, answer: Answer) -> Answer:
        return (200, "text/html", b"<html>log in</html>") if draw.random() < 0.3 else answer

    return {
        "another value": value,
        "a flipped bit": bits,
        "half an answer": cut,
        "an error": refuse,
        "a page": text,
    }


def folders(path: str) -> Change:
    """Return a change of the listings: `endless`, `many` or `onnx`."""

    def change(asked: str, answer: Answer) -> Answer:
        if "artifacts" not in asked or "json" not in answer[1] or "files" not in answer[2].decode():
            return answer
        if path == "endless":
            return listed({"path": "a/a.onnx", "is_dir": True}, {"path": "a", "is_dir": True})
        if path == "many":
            return listed(*({"path": f"{n}.onnx", "file_size": 1} for n in range(FILES)))
        return listed({"path": "model.onnx", "is_dir": True})

    return change


@contextmanager
def real_server(folder: Path) -> Iterator[str]:
    """Start a real MLflow server on a folder; yield its address."""
    port = free_port()
    process = _serve(folder, port)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 9)
        finish(process)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Proxy:
    """Passes requests on to a server, and changes its answers.

    Attributes:
        change: changes each answer; None changes nothing.
        slow: sends one byte per second.
        uri: address of the proxy.
    """

    def __init__(self, server: str) -> None:
        self.change: Change | None = None
        self.slow = False
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length) if length else None
                kept = {k: v for k, v in self.headers.items() if k.lower() != "host"}
                asked = urllib.request.Request(server + self.path, body, kept, method=self.command)
                try:
                    with urllib.request.urlopen(asked) as got:
                        kind = got.headers.get("Content-Type", "")
                        answer = (got.status, kind, got.read())
                except urllib.error.HTTPError as error:
                    answer = (error.code, error.headers.get("Content-Type", ""), error.read())
                if proxy.change:
                    answer = proxy.change(self.path, answer)
                self.reply(answer)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

            def reply(self, answer: Answer) -> None:
                code, kind, content = answer
                try:
                    self.send_response(code)
                    self.send_header("Content-Type", kind)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    if proxy.slow and "artifact" in self.path:
                        for start in range(len(content)):
                            self.wfile.write(content[start : start + 1])
                            self.wfile.flush()
                            time.sleep(1)
                    else:
                        self.wfile.write(content)
                except OSError:
                    self.close_connection = True

            def log_message(self, *words: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self._server.server_address[1]}"
        Thread(target=self._server.serve_forever, daemon=True).start()


def answers(folder: Path, count: int, draw: random.Random) -> Iterator[tuple[str, Harm]]:
    """Change what a server answers to `register` and `sync`, which fetch students."""
    with real_server(folder) as uri:
        table = written(folder, table_of())
        where = {"MLFLOW_TRACKING_URI": uri, "VMAF_TINY_AI_CACHE": str(folder / "cache")}
        trained = run(command(table), **where)
        (line,) = (each for each in trained.out.splitlines() if each.startswith("run "))
        run_id = line.split()[1]
        proxy = Proxy(uri)
        with variables(MLFLOW_TRACKING_URI=proxy.uri, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0"):
            mlflow.set_tracking_uri(proxy.uri)
            own = find_candidate(run_id).student.sha256
            mlflow.register_model(f"runs:/{run_id}/model", "vmaf_tiny", tags={"sha256": own})
            mlflow.MlflowClient().set_registered_model_alias("vmaf_tiny", "default", "1")
            assert promoted_students()["default"].student.sha256 == own
            fetching.SECONDS = PATIENCE
            for name, change in changes(draw).items():
                harm = Harm()
                proxy.change = change
                for _ in range(count):
                    _ask(harm, run_id, own)
                yield f"answer of a server: {name}", harm
            yield "answer of a server: folders without end", _folders(proxy, run_id, own)


def _folders(proxy: Proxy, run_id: str, own: str) -> Harm:
    harm = Harm()
    for kind in ("endless", "many", "onnx"):
        proxy.change = folders(kind)
        _ask(harm, run_id, own)
        started = time.monotonic()
        harm.told(fetching.download_onnx, run_id)
        harm.hung += time.monotonic() - started > 2 * PATIENCE
    proxy.change, proxy.slow = None, True
    _ask(harm, run_id, own)
    return harm


def _ask(harm: Harm, run_id: str, own: str) -> None:
    """Fetch a candidate and the promoted students; a promoted one must be the one of its tag."""
    started = time.monotonic()
    harm.told(find_candidate, run_id)
    found = harm.told(promoted_students)
    harm.injected -= 1
    if not isinstance(found, VmafTrainError) and isinstance(found, dict):
        harm.lost += any(each.student.sha256 != own for each in found.values())
    harm.hung += time.monotonic() - started > 4 * PATIENCE


def dies_after_the_fit(folder: Path, rounds: int) -> Harm:
    """Kill the server while a student is fitted; with a new server, upload finishes the run."""
    harm = Harm()
    table = written(folder, table_of())
    for number in range(rounds):
        harm.injected += 1
        place = folder / str(number)
        place.mkdir()
        port = free_port()
        where = {
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}",
            "VMAF_TINY_AI_CACHE": str(place / "cache"),
        }
        server = _serve(place, port)
        process = in_group(command(table, epochs=150), **where)
        time.sleep(9)
        os.killpg(server.pid, 9)
        finish(server)
        ended = finish(process, harm)
        kept = [line for line in ended.err.split() if "_unsent" in line]
        server = _serve(place, port)
        uploaded = run([*VMAF_TRAIN, "upload", *kept[-1:]], harm, **where)
        os.killpg(server.pid, 9)
        finish(server)
        harm.lost += (ended.code, uploaded.code) != (1, 0)
        harm.left += bool(list((place / "cache").glob("_unsent/*")))
    return harm


def _serve(place: Path, port: int) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    server = in_group([*words, "--backend-store-uri", f"sqlite:///{place}/s.db"], place)
    for _ in range(LIMIT):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
            break
        except OSError:
            time.sleep(1)
    return server
