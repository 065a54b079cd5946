"""A student as one ONNX file: its contract, and its scores in onnxruntime.

In: the bytes of the file. Out: `OnnxStudent`, which maps raw features, float32 of shape
(frames, features), to scores, float64 of shape (frames,).
Start with inference.py; contract.py checks a file against the contract, expected_error.py reads the
error that it states, familiar.py tells which frames are like those it learnt from.
"""
