"""The teacher without pixels: its support-vector regressor, and feature vectors for it to label.

In: raw libvmaf features, float64 of shape (frames, features). Out: scores, float64 of shape (frames,).
Start with svr.py; points.py draws the feature vectors.
"""
