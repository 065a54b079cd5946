"""Run an ONNX student in onnxruntime: its metadata, scores and latency."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnxruntime

from vmaf_train.errors import InputError
from vmaf_train.feature_names import parse_feature
from vmaf_train.features import CANONICAL

METADATA_PREFIX = "vmaf_train."
# Rows per call of onnxruntime, to bound memory.
ROWS_PER_CALL = 65536
# Latency is measured on one row and on a clip of this many rows; the calls are split into rounds.
CLIP_ROWS = 240
LATENCY_ROUNDS = 5
LATENCY_CALLS = 2000


@dataclass(frozen=True)
class Latency:
    """Microseconds per onnxruntime call on one thread: for one row, and for `clip_rows` rows."""

    row_p50_us: float
    row_p95_us: float
    clip_p50_us: float
    clip_p95_us: float
    clip_rows: int = CLIP_ROWS


class OnnxStudent:
    """An ONNX student loaded in onnxruntime, on one thread.

    Attributes:
        content: the bytes of the file.
        facts: metadata of the file (arch, parameters, training sources, ...); empty if vmaf-train
            did not write it.
        features: names of the input's columns, in order; canonical if the file names none.
        window: number of frames that one score depends on; above 1, the rows of a call must be the
            frames of one clip, in order.

    Raises:
        InputError: the content is not an ONNX model, or the model does not map its features to one
            score per row.
    """

    def __init__(self, content: bytes, name: str) -> None:
        self.content = content
        self._session = _load(content, name)
        self.facts = _facts_of(self._session, name)
        self.features = _features_of(self.facts, name)
        stated = self.facts.get("window", 1)
        self.window: int = stated if isinstance(stated, int) else 1
        self._input, self._output = _check_shapes(self._session, self.features, name)

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
        # If scores depend on windows of frames, a clip must not be cut.
        size = ROWS_PER_CALL if self.window == 1 else len(rows_NF)
        parts = []
        for start in range(0, len(rows_NF), size):
            feed = {self._input: rows_NF[start : start + size]}
            parts.append(self._session.run([self._output], feed)[0].reshape(-1))
        score_N = np.concatenate(parts).astype(np.float64)
        if not np.isfinite(score_N).all():
            frame = int(np.argmin(np.isfinite(score_N)))
            raise InputError(f"the model gives scores that are no numbers, first for frame {frame}")
        return score_N

    def measure_latency(self, calls: int = LATENCY_CALLS) -> Latency:
        """Measure the latency of one row in `calls` calls, and of a clip in a tenth of them.

        The fastest of several rounds counts, since other work on the machine only adds time.
        """
        row = self._fastest_round(rows=1, calls=calls)
        clip = self._fastest_round(rows=CLIP_ROWS, calls=calls // 10)
        return Latency(*row, *clip)

    def _fastest_round(self, rows: int, calls: int) -> tuple[float, float]:
        """Return the 50th and 95th percentile of the time per call, in microseconds."""
        feed = {self._input: np.full((rows, len(self.features)), 0.5, dtype=np.float32)}
        rounds = []
        for _ in range(LATENCY_ROUNDS):
            ticks = np.empty(calls // LATENCY_ROUNDS + 1, dtype=np.int64)
            # Calls with negative numbers warm up. Their ticks go to the end of the array, where
            # later calls overwrite them.
            for call in range(-(len(ticks) // 10), len(ticks)):
                ticks[call] = time.perf_counter_ns()
                self._session.run(None, feed)
            p50, p95 = np.percentile(np.diff(ticks) / 1000, (50, 95)).tolist()
            rounds.append((p50, p95))
        return min(rounds)


def _load(content: bytes, name: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no public base class
        raise InputError(
            f"{name} is not an ONNX model that onnxruntime can load: {error}"
        ) from error


def _facts_of(session: onnxruntime.InferenceSession, name: str) -> Mapping[str, object]:
    metadata = session.get_modelmeta().custom_metadata_map
    try:
        return {
            key.removeprefix(METADATA_PREFIX): json.loads(value)
            for key, value in metadata.items()
            if key.startswith(METADATA_PREFIX)
        }
    except ValueError as error:
        raise InputError(
            f"{name} has metadata of vmaf-train that is no JSON: {error}; export it again"
        ) from error


def _features_of(facts: Mapping[str, object], name: str) -> tuple[str, ...]:
    named = facts.get("features", CANONICAL.features)
    features = tuple(map(str, named)) if isinstance(named, list | tuple) else ()
    try:
        for feature in features:
            parse_feature(feature)
    except InputError as error:
        raise InputError(f"{name} reads what libvmaf does not compute: {error}") from error
    return features


def _check_shapes(
    session: onnxruntime.InferenceSession, features: tuple[str, ...], name: str
) -> tuple[str, str]:
    """Check that input and output have a student's shapes; return their names."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    fits = len(inputs) == 1 and inputs[0].type == "tensor(float)" and len(inputs[0].shape) == 2
    if not fits or isinstance(inputs[0].shape[0], int) or inputs[0].shape[1] != len(features):
        raise InputError(
            f"{name} takes {[(i.name, i.type, i.shape) for i in inputs]}; a student takes one "
            f"float32 matrix of shape [N, {len(features)}]: {', '.join(features)}"
        )
    if len(outputs) != 1 or outputs[0].shape[1:] not in ([], [1]):
        raise InputError(
            f"{name} gives {[(o.name, o.shape) for o in outputs]}; "
            "a student gives one score per row"
        )
    return inputs[0].name, outputs[0].name
