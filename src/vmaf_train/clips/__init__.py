"""Videos and pairs of videos on disk: the layouts of a corpus, and the demo corpus.

In: the path of a corpus. Out: `Pair`, a distorted clip and its reference, checked by file size, not
yet read.
Start with pairs.py and video.py. layouts.py is the table of layouts and scans a corpus, netflix.py
lists one in the Netflix layout, demo.py makes the embedded corpus.
"""
