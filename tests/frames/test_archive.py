import io

import numpy as np

from vmaf_train.frames.archive import pack


def test_an_archive_holds_the_scores_and_then_the_columns_of_the_table(make_table):
    table = make_table()
    with np.load(io.BytesIO(pack(table, table.y_N))) as arrays:
        assert arrays.files == [
            "score_N",
            "features",
            "x_NF",
            "y_N",
            "clip_N",
            "clips",
            "clip_sources",
        ]
