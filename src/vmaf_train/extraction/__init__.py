"""libvmaf passes over pairs, and the cache of their results.

In: `Pair`. Out: `FrameScores`, the features and the teacher's score of every frame of a clip,
float64.
Start with passes.py. libvmaf.py runs one pass, logs.py reads its output, schedule.py plans many
passes, cache.py stores their results, cluster.py runs them on Dask workers. sampling.py extracts
features of some frames of two videos, which strata.py chooses. log_files.py reads the libvmaf logs
that users have.
"""
