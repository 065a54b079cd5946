"""From the choice of a corpus to its frames: a folder of pairs, the embedded demo, or a file of frame scores."""

from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vmaf_train.clips import demo
from vmaf_train.clips.layout import (
    Pair,
    Scan,
    YuvFormat,
    dis_source,
    first_in_turn,
    parse_frames,
    scan,
)
from vmaf_train.errors import InputError
from vmaf_train.extraction.cache import ClipCache, cache_root
from vmaf_train.extraction.libvmaf import Ffmpeg, FrameScores, find_ffmpeg
from vmaf_train.extraction.passes import frame_scores, on_this_machine
from vmaf_train.features import CANONICAL, KNOWN, columns_for
from vmaf_train.frames.choice import ALL, AUTO, DEMO, CorpusChoice
from vmaf_train.frames.table import FrameTable, read_parquet
from vmaf_train.reporting import Reporter


@dataclass(frozen=True)
class Corpus:
    """A corpus whose clips are known and whose frames can be had.

    Attributes:
        clip_sources: the source of each clip.
        libvmaf_version: of the features; None for a smoke, which has none.
        table: gives the frames of some sources (all, for an empty choice); may take hours of libvmaf.
    """

    clip_sources: tuple[str, ...]
    libvmaf_version: str | None
    table: Callable[[Collection[str]], FrameTable]

    @property
    def sources(self) -> list[str]:
        """The names of the sources, sorted."""
        return sorted(set(self.clip_sources))


def open_corpus(
    choice: CorpusChoice,
    reporter: Reporter,
    features: Sequence[str] = CANONICAL.features,
    smoke: bool = False,
) -> Corpus:
    """Find the clips of the chosen corpus; no frame of them is read yet.

    Args:
        choice: the corpus.
        reporter: is told what is left out, and later about the libvmaf passes.
        features: of a student; the tables hold them beside those of the teacher.
        smoke: give zeros for every feature and score, without any libvmaf.

    Raises:
        InputError: no usable corpus or ffmpeg, or a cache that cannot be written.
    """
    columns = columns_for(features)
    if choice.is_table:
        return _corpus_of_table(choice, columns, smoke)
    ffmpeg = None if smoke else find_ffmpeg()
    pairs = open_pairs(choice, ffmpeg, reporter).pairs

    def table(sources: Collection[str]) -> FrameTable:
        wanted = [pair for pair in pairs if not sources or pair.source in sources]
        if ffmpeg is None:
            return FrameTable.from_clips([(pair, zero_scores(pair)) for pair in wanted], columns)
        return table_of_pairs(wanted, ffmpeg, choice.cores, reporter, columns)

    return Corpus(
        tuple(pair.source for pair in pairs), ffmpeg.libvmaf_version if ffmpeg else None, table
    )


def table_of_pairs(
    pairs: Sequence[Pair],
    ffmpeg: Ffmpeg,
    cores: int,
    reporter: Reporter,
    columns: Sequence[str] | None = None,
) -> FrameTable:
    """Return the frames of some pairs, with these columns or with every one that libvmaf gives.

    Raises:
        ExtractionError: some pairs failed; the others are in the cache.
    """
    scores: dict[int, FrameScores] = {}
    with closing(
        frame_scores(pairs, ffmpeg.libvmaf_version, on_this_machine(ffmpeg, cores), reporter)
    ) as scored:
        for each in scored:
            scores[each.place] = each.scores
    ordered = [(pair, scores[place]) for place, pair in enumerate(pairs)]
    return FrameTable.from_clips(ordered, columns or scores[0].features)


def open_pairs(choice: CorpusChoice, ffmpeg: Ffmpeg | None, reporter: Reporter) -> Scan:
    """Find the pairs of the chosen corpus; the demo corpus is made first, or only named where there is no ffmpeg.

    Raises:
        InputError: no usable corpus of pairs, or a cache that cannot be written.
    """
    frames = None if choice.frames == ALL else parse_frames(choice.frames)
    if choice.is_table:
        raise InputError(
            f"{choice.corpus} holds frame scores and no clips; name the folder of the clips as corpus"
        )
    if ffmpeg:
        ClipCache(cache_root()).check_writable()
    if choice.corpus != DEMO:
        folder = choice.path
        format = choice.format_or(YuvFormat())
    elif ffmpeg is None:
        return _demo_by_name(choice, frames)
    else:
        format = YuvFormat(demo.WIDTH, demo.HEIGHT)
        if choice.format_or(format) != format:
            raise InputError(
                f"the demo corpus is {format}; leave assume_dims out, or pass a corpus folder"
            )
        with reporter.making_demo(len(demo.clip_names())) as on_clip:
            folder = demo.make_demo_corpus(
                cache_root() / "_demo", ffmpeg.path, choice.cores, on_clip
            )
    found = scan(folder, format, choice.sources, choice.max_pairs, choice.strict, frames)
    for line in found.left_out:
        reporter.say(f"left out: {line}")
    return found


def _demo_by_name(choice: CorpusChoice, frames: tuple[int, int] | None) -> Scan:
    """Name the demo's pairs without making them, for a smoke."""
    first, end = frames or (0, demo.FRAMES)
    if end > demo.FRAMES:
        raise InputError(
            f"the demo's clips hold {demo.FRAMES} frames, so frames {first}:{end} are not all there"
        )
    format = choice.format_or(YuvFormat(demo.WIDTH, demo.HEIGHT))
    pairs = [
        Pair(dis_source(dis), Path("ref", ref), Path("dis", dis), demo.FPS, end - first, format)
        for ref, dis in demo.clip_names()
    ]
    return Scan(
        tuple(
            pairs[index]
            for index in first_in_turn([pair.source for pair in pairs], choice.max_pairs)
        )
    )


def _corpus_of_table(choice: CorpusChoice, columns: Sequence[str], smoke: bool) -> Corpus:
    """Open a file of frame scores."""
    if choice.frames != ALL or choice.assume_dims != AUTO:
        raise InputError(
            f"{choice.corpus} is the frames as they were exported; leave frames and assume_dims out"
        )
    read = read_parquet(choice.path)
    table = read.table.select(columns)
    if choice.max_pairs:
        table = table.take(first_in_turn(table.clip_sources, choice.max_pairs))
    if smoke:
        table = replace(table, x_NF=np.zeros_like(table.x_NF), y_N=np.zeros_like(table.y_N))
    return Corpus(
        table.clip_sources,
        None if smoke else read.libvmaf_version,
        lambda sources: table.only(sources) if sources else table,
    )


def zero_scores(pair: Pair) -> FrameScores:
    """Return what a smoke learns from: a pair's frames with nothing but zeros."""
    return FrameScores(KNOWN, np.zeros((pair.n_frames, len(KNOWN))), np.zeros(pair.n_frames))
