"""One module per command: it calls the folders below in turn and returns a dataclass.

In: the parsed options. Out: a result to print; nothing is printed here.
Start with train.py, or with score.py (video_score.py is its result). main.py is prewarm, train and
evaluate in one run; promote.py is register and sync.
"""
