"""From a training run to model/tiny/: gates, registry, files in the tree.

In: an MLflow run id. Out: a registered version, and the files of model/tiny/ with their model
cards.
Start with in_tree.py, the contract of the files. finding.py loads a student by its name.
candidate.py and gates.py judge a run's student, registry.py gives it a version and an alias.
tree.py reads the checkout, sync.py writes it.
"""
