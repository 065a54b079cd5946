"""Students: architectures, training and export. The one folder that imports torch.

In: `FrameTable`. Out: `Student`, a fitted torch model, and its ONNX bytes.
Start with architectures.py; training.py fits, solvers.py moves the weights, export.py writes the file.
"""
