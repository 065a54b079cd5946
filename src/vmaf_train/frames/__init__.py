"""From the choice of a corpus to its frames.

In: `CorpusChoice`, the user's options. Out: `FrameTable`, features of shape (frames, features) and
teacher scores of shape (frames,), float64, with the clip and the source of every frame.
Start with opening.py. table.py holds the FrameTable, parquet.py and archive.py its files,
log_folder.py makes one from libvmaf logs, splits.py chooses the hold-out.
"""
