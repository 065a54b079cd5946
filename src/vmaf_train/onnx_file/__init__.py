"""A student as one ONNX file: its contract, its scores in onnxruntime, its form for libvmaf.

In: the bytes of the file. Out: `OnnxStudent`, which maps raw features, float32 of shape
(frames, features), to scores, float64 of shape (frames,).
Start with inference.py; contract.py checks a file against the contract. expected_error.py reads the
error that a file states, familiar.py tells which frames are like those it learnt from.
polynomial.py writes a polynomial student as a sum of kernels, libvmaf_json.py writes that as a
model file of libvmaf.
"""
