"""How good a student is: metrics, intervals, cross-validation, comparison, figures.

In: `OnnxStudent` and `FrameTable`. Out: `EvalReport` of one student, `Comparison` of several.
Start with evaluation.py; crossval.py and comparison.py are for sweeps.
"""
