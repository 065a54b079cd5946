"""How good a student is: metrics, intervals, cross-validation, comparison, figures.

In: `OnnxStudent` and `FrameTable`. Out: `EvalReport` of one student, `Comparison` of several.
Start with evaluation.py. report.py is the contract of eval_report.json, agreement.py the metrics,
holdout.py one training, out_of_fold.py its error on new sources (conformal.py the intervals,
familiarity.py the guard), crossval.py and comparison.py a sweep, rows.py and recommendation.py its
rows and its choice, figures.py the pictures. sampled_mean.py is the mean of a video of which some
frames were scored.
"""
