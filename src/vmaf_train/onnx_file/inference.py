"""Run an ONNX student in onnxruntime: its metadata, scores and latency."""

import hashlib
import time
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnxruntime

from vmaf_train.errors import InputError
from vmaf_train.features import CANONICAL, HIGHEST_SCORE, SCORE_MIN
from vmaf_train.onnx_file.facts import facts_in

# Rows per call of onnxruntime, to bound memory.
ROWS_PER_CALL = 8192
# What float32 may add to a limit.
ROUNDING = 1e-3
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
        self.facts = facts_in(self._session.get_modelmeta().custom_metadata_map, name)
        named = self.facts.get("features") or CANONICAL.features
        assert isinstance(named, list | tuple)
        self.features = tuple(map(str, named))
        window = self.facts.get("window", 1)
        assert isinstance(window, int)
        self.window = window
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
            InputError: the model cannot compute the rows, does not give one score for each, or
                gives a score that is not finite or beyond every teacher's range.
        """
        rows_NF = np.ascontiguousarray(x_NF, dtype=np.float32)
        # If scores depend on windows of frames, a clip must not be cut.
        size = ROWS_PER_CALL if self.window == 1 else len(rows_NF)
        parts = []
        for start in range(0, len(rows_NF), size):
            parts.append(self._scores_of(rows_NF[start : start + size]))
        score_N = np.concatenate(parts).astype(np.float64)
        if not np.isfinite(score_N).all():
            frame = int(np.argmin(np.isfinite(score_N)))
            raise InputError(f"the model gives scores that are no numbers, first for frame {frame}")
        beyond_N = (score_N < SCORE_MIN - ROUNDING) | (score_N > HIGHEST_SCORE + ROUNDING)
        if beyond_N.any():
            frame = int(np.argmax(beyond_N))
            raise InputError(
                f"the model gives a score of {score_N[frame]:g} for frame {frame}; no teacher's "
                f"scores are below {SCORE_MIN:g} or above {HIGHEST_SCORE:g}"
            )
        return score_N

    def _scores_of(self, rows_NF: np.ndarray) -> np.ndarray:
        """Return the scores of the rows of one call, float32 of shape (rows,)."""
        try:
            (scores,) = self._session.run([self._output], {self._input: rows_NF})
        except Exception as error:  # onnxruntime's errors share no public base class
            raise InputError(f"the model cannot score {len(rows_NF)} frames: {error}") from error
        if np.size(scores) != len(rows_NF):
            raise InputError(
                f"the model gives {np.size(scores)} scores for {len(rows_NF)} frames; "
                "a student gives one for each"
            )
        flat: np.ndarray = np.reshape(scores, -1)
        return flat

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
