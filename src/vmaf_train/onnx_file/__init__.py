"""A student as users have it: one ONNX file, the contract it keeps, its scores in onnxruntime.

In: the bytes of the file. Out: `OnnxStudent`, which maps raw features, float32 of shape
(frames, features), to scores, float64 of shape (frames,).
Start with inference.py; contract.py says what every file must keep.
"""
