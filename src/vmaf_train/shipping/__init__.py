"""From a training run to model/tiny/: gates, registry, files in the tree.

In: an MLflow run id. Out: a registered version, and the files of model/tiny/ with their model
cards.
Start with in_tree.py, the contract of the files. finding.py loads a student by its name,
fetching.py downloads from MLflow. candidate.py and gates.py judge the student of a run,
registry.py gives it a version and an alias. tree.py reads the checkout and lists differences.
libvmaf_model.py converts a student into a model file of libvmaf.
sync.py writes the checkout; exchange.py replaces all its files at once.
"""
