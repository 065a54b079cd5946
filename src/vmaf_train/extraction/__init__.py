"""libvmaf passes over pairs, and the cache of their results.

In: `Pair`. Out: `FrameScores`, features and teacher score of every frame of a clip, float64.
Start with passes.py. libvmaf.py runs one pass, logs.py reads what it wrote, schedule.py plans many
passes, cache.py stores their results, cluster.py sends them to Dask.
"""
