"""What is said to MLflow: a piece of work is a run, and the run ends as the work did.

In: metrics, files, tables and students. Out: an MLflow run, and `Links` to it.
Start with run.py. store.py opens the tracking store, links.py leads people to the UI, checkout.py
tells which code ran.
"""
