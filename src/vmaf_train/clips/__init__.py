"""Videos and pairs of videos on disk: the Netflix layout, and the demo corpus.

In: a corpus folder. Out: `Pair`, a distorted clip and its reference, checked by file size but not yet read.
Start with layout.py; demo.py makes the embedded corpus.
"""
