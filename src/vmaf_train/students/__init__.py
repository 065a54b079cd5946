"""Students: nets, solvers, training and export. Only this folder imports torch.

In: `FrameTable`. Out: `Student`, a fitted torch model, and its ONNX bytes.
Start with architectures.py, the table of students. Its columns are in nets.py, solvers.py and
gauss_newton.py; training.py fits students, export.py writes their files.
"""
