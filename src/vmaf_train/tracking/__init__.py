"""Logging to MLflow: a command is a run, and the status of the run says how the command ended.

In: metrics, files, tables and students. Out: an MLflow run, and `Links` to it.
Start with run.py. store.py opens the tracking store, links.py makes addresses of the UI,
checkout.py finds the version of the code.
"""
