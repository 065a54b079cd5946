"""The packaged tables of real frames, one per family of teachers; see docs/real-corpus.md."""

from pathlib import Path

from vmaf_train.errors import InputError
from vmaf_train.teacher.teachers import Teacher, find_teacher

FOLDER = Path(__file__).parent
# By the teacher whose features and scores a table holds. The clips are the same in all.
REAL_TABLES = {
    "vmaf_v0.6.1": FOLDER / "real.parquet",
    "vmaf_v0.6.1neg": FOLDER / "real_neg.parquet",
    "vmaf_v1.0.16_3d0h": FOLDER / "real_v1.parquet",
}


def real_table(teacher: Teacher) -> Path:
    """Return the table for students of a teacher.

    It holds the features of the teacher; or else those of a variant, whose options differ.

    Raises:
        InputError: there is none.
    """
    for name, path in REAL_TABLES.items():
        if find_teacher(name).features == teacher.features:
            return path
    for name, path in REAL_TABLES.items():
        if find_teacher(name).is_variant_of(teacher):
            return path
    raise InputError(
        f"real holds no frames for {teacher.name}, only for {', '.join(REAL_TABLES)} and their "
        "variants; pass another corpus"
    )
