"""Distil Netflix's VMAF into tiny ONNX students, tracked in MLflow."""

__version__ = "0.1.0"
