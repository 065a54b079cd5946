"""Faults by what they hit: files, passes, trainings, answers of a server."""
