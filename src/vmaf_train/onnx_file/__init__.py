"""A student as one ONNX file: its contract, and its scores in onnxruntime.

In: the bytes of the file. Out: `OnnxStudent`, which maps raw features, float32 of shape
(frames, features), to scores, float64 of shape (frames,).
Start with inference.py; contract.py checks a file against the contract.
"""
