"""A student as users run it: an ONNX file in onnxruntime, its own facts, its scores and its latency. No torch."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnxruntime

from vmaf_train.errors import InputError
from vmaf_train.features import CANONICAL, KNOWN

METADATA_PREFIX = "vmaf_train."
ROWS_A_CALL = 65536
CLIP_ROWS = 240
ROUNDS = 5


@dataclass(frozen=True)
class Latency:
    """Time of one onnxruntime call on one thread, in microseconds: one row, and a clip of 240 rows."""

    row_p50_us: float
    row_p95_us: float
    clip_p50_us: float
    clip_p95_us: float
    clip_rows: int = CLIP_ROWS


class OnnxStudent:
    """An ONNX student loaded in onnxruntime, on one thread.

    Attributes:
        content: the bytes of the file.
        facts: what the file says of itself (arch, parameters, training sources, ...); empty for a foreign file.
        features: names of the input's columns, in order.
        window: frames that a score is made from; above 1 the rows of a call must be one clip's frames, in order.

    Raises:
        InputError: not an ONNX model, or not one from six features (or from those it names) to one score a row.
    """

    def __init__(self, content: bytes, name: str) -> None:
        self.content = content
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors share no public base class
            raise InputError(
                f"{name} is not an ONNX model that onnxruntime can load: {error}"
            ) from error
        metadata = self._session.get_modelmeta().custom_metadata_map
        try:
            self.facts: Mapping[str, object] = {
                key.removeprefix(METADATA_PREFIX): json.loads(value)
                for key, value in metadata.items()
                if key.startswith(METADATA_PREFIX)
            }
        except ValueError as error:
            raise InputError(
                f"{name} has metadata of ours that is no JSON: {error}; export it again"
            ) from error
        named = self.facts.get("features", CANONICAL.features)
        self.features: tuple[str, ...] = tuple(named) if isinstance(named, list | tuple) else ()
        if unknown := [str(feature) for feature in self.features if feature not in KNOWN]:
            raise InputError(f"{name} reads {', '.join(unknown)}; known are {', '.join(KNOWN)}")
        stated = self.facts.get("window", 1)
        self.window: int = stated if isinstance(stated, int) else 1
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        fits = len(inputs) == 1 and inputs[0].type == "tensor(float)" and len(inputs[0].shape) == 2
        if (
            not fits
            or isinstance(inputs[0].shape[0], int)
            or inputs[0].shape[1] != len(self.features)
        ):
            raise InputError(
                f"{name} takes {[(i.name, i.type, i.shape) for i in inputs]}; "
                f"a student takes one float32 matrix of shape [N, {len(self.features)}]: {', '.join(self.features)}"
            )
        if len(outputs) != 1 or outputs[0].shape[1:] not in ([], [1]):
            raise InputError(
                f"{name} gives {[(o.name, o.shape) for o in outputs]}; a student gives one score a row"
            )
        self._input, self._output = inputs[0].name, outputs[0].name

    @staticmethod
    def hash_of(content: bytes) -> str:
        """Return the SHA-256 of a file's bytes, in hex."""
        return hashlib.sha256(content).hexdigest()

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file, in hex."""
        return self.hash_of(self.content)

    def score(self, x_NF: np.ndarray) -> np.ndarray:
        """Score raw feature rows: float of shape (frames, features) to float64 of shape (frames,).

        Raises:
            InputError: a score is not finite.
        """
        rows_NF = np.ascontiguousarray(x_NF, dtype=np.float32)
        # A window must not be cut.
        size = ROWS_A_CALL if self.window == 1 else len(rows_NF)
        parts = [
            self._session.run([self._output], {self._input: rows_NF[start : start + size]})[
                0
            ].reshape(-1)
            for start in range(0, len(rows_NF), size)
        ]
        score_N = np.concatenate(parts).astype(np.float64)
        if not np.isfinite(score_N).all():
            raise InputError(
                f"the model gives scores that are no numbers, first for frame {int(np.argmin(np.isfinite(score_N)))}"
            )
        return score_N

    def measure_latency(self, calls: int = 2000) -> Latency:
        """Time `calls` calls of one row, and a tenth as many of a 240-row clip, after a warm-up.

        In rounds, the fastest of which counts: what a shared machine does meanwhile only ever adds.
        """
        times = []
        for rows, repeats in ((1, calls), (CLIP_ROWS, calls // 10)):
            feed = {self._input: np.full((rows, len(self.features)), 0.5, dtype=np.float32)}
            rounds = []
            for _ in range(ROUNDS):
                ticks = np.empty(repeats // ROUNDS + 1, dtype=np.int64)
                for call in range(-(len(ticks) // 10), len(ticks)):
                    ticks[call] = time.perf_counter_ns()
                    self._session.run(None, feed)
                rounds.append(np.percentile(np.diff(ticks) / 1000, (50, 95)).tolist())
            times += min(rounds)
        return Latency(*times)
