"""The teacher without pixels: its SVR in NumPy, and feature vectors for it to label.

In: raw libvmaf features, float64 of shape (frames, features). Out: scores, float64 of shape
(frames,).
Start with teachers.py, the table. svr.py is the support-vector regressor (SVR), completion.py
serves feature sets that lack some of the teacher's features, points.py draws feature vectors.
"""
