"""Videos and pairs of videos on disk: the layouts of a corpus, and the demo corpus.

In: the path of a corpus. Out: `Pair`, a distorted clip and its reference; file sizes are checked,
no frame is read.
Start with pairs.py and video.py. layouts.py is the table of layouts, netflix.py the layout of the
Netflix corpus. demo.py makes the embedded corpus, manifest.py reads a list of pairs.
"""
