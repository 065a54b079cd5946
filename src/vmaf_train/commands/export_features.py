"""`export-features`: write a corpus's features and scores to one Parquet file."""

from dataclasses import asdict
from pathlib import Path

from vmaf_train.errors import InputError
from vmaf_train.extraction.cache import identity_of
from vmaf_train.extraction.libvmaf import find_ffmpeg
from vmaf_train.frames.choice import TABLE_SUFFIX, CorpusChoice, one_teacher
from vmaf_train.frames.finding import open_pairs
from vmaf_train.frames.log_folder import read_log_folder
from vmaf_train.frames.opening import table_of_pairs
from vmaf_train.frames.parquet import write_parquet
from vmaf_train.frames.table import FrameTable
from vmaf_train.reporting import Reporter


def export_features(choice: CorpusChoice, path: Path, reporter: Reporter) -> FrameTable:
    """Write all features and scores of a corpus to a file, for training without the clips.

    Args:
        choice: the corpus.
        path: path of the .parquet file.
        reporter: follows the passes over pairs that the cache does not hold.

    Raises:
        InputError: the corpus, the ffmpeg, the cache folder or the file is not usable.
        ExtractionError: some pairs failed; the others are in the cache.
    """
    if path.suffix != TABLE_SUFFIX:
        raise InputError(
            f"{path} does not end in {TABLE_SUFFIX}; write it like features{TABLE_SUFFIX}"
        )
    if not path.absolute().parent.is_dir():
        raise InputError(
            f"cannot write {path}: no folder {path.parent}; "
            "name a file in a folder that can be written"
        )
    if choice.is_logs:
        logs = read_log_folder(choice, reporter)
        write_parquet(
            logs.table, path, logs.libvmaf_version, ({"log": asdict(each)} for each in logs.stamps)
        )
        return logs.table
    ffmpeg = find_ffmpeg(one_teacher(choice))
    pairs = open_pairs(choice, ffmpeg, reporter).pairs
    table = table_of_pairs(pairs, ffmpeg, choice.cores, reporter)
    version = ffmpeg.libvmaf_version
    identities = (identity_of(pair, version).model_dump(mode="json") for pair in pairs)
    write_parquet(table, path, version, identities)
    return table
