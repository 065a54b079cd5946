"""From a training run to model/tiny/: gates, registry, files in the tree.

In: an MLflow run id. Out: a registered version, and the files of model/tiny/ with their model cards.
Start with in_tree.py, the contract of the files; registry.py talks to MLflow, sync.py writes the tree.
"""
