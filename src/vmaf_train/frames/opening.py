"""Open the chosen corpus: a folder of pairs, the demo, libvmaf logs, Parquet files, or a join."""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vmaf_train.clips import demo, layouts
from vmaf_train.clips.looking import Looks
from vmaf_train.clips.netflix import dis_source
from vmaf_train.clips.pairs import Pair, Reading, Scan, first_in_turn, parse_frames, parse_offset
from vmaf_train.clips.video import SCALE_TO_REF, Video, YuvFormat, check_scale, with_content
from vmaf_train.errors import InputError
from vmaf_train.extraction.cache import ClipCache, cache_root
from vmaf_train.extraction.libvmaf import Ffmpeg, find_ffmpeg
from vmaf_train.extraction.logs import FrameScores
from vmaf_train.extraction.passes import frame_scores, local_workers
from vmaf_train.frames.choice import ALL, AUTO, CorpusChoice
from vmaf_train.frames.joining import (
    check_joinable,
    check_no_copies,
    join_tables,
    unique_names,
)
from vmaf_train.frames.log_folder import read_log_folder
from vmaf_train.frames.table import FrameTable
from vmaf_train.reporting import Reporter
from vmaf_train.teacher.teachers import Teacher


@dataclass(frozen=True)
class Corpus:
    """A corpus: its clips are known, and `table` computes its frames.

    Attributes:
        clip_sources: the source of each clip.
        teacher: the teacher whose scores label the frames.
        libvmaf_version: version of the libvmaf that extracted the features; None for a smoke run,
            which runs none.
        table: returns the frames of some sources; no source means all. The libvmaf passes can take
            hours.
    """

    clip_sources: tuple[str, ...]
    teacher: Teacher
    libvmaf_version: str | None
    table: Callable[[Collection[str]], FrameTable]

    @property
    def sources(self) -> list[str]:
        """The names of the sources, sorted."""
        return sorted(set(self.clip_sources))


def open_corpus(
    choice: CorpusChoice,
    reporter: Reporter,
    features: Sequence[str] = (),
    *,
    smoke: bool = False,
) -> Corpus:
    """Find the clips of the chosen corpus; no frame is read yet.

    Args:
        choice: the corpus.
        reporter: receives one line per file that is left out, and follows the libvmaf passes.
        features: features that the student reads. The tables hold these and the teacher's.
        smoke: use zeros for every feature and score, without libvmaf.

    Raises:
        InputError: the corpus or the ffmpeg is not usable, or the cache cannot be written.
    """
    if len(choice.parts) > 1:
        return _open_join(choice, reporter, features, smoke)
    if choice.is_table:
        return _open_table(choice, features, smoke)
    if choice.is_logs:
        return _open_logs(choice, reporter, features, smoke)

    columns = choice.teacher.columns_for(features)
    if smoke:
        return _open_smoke(choice, columns, reporter)

    ffmpeg = find_ffmpeg(choice.teacher)
    pairs = open_pairs(choice, ffmpeg, reporter).pairs

    def table(sources: Collection[str]) -> FrameTable:
        return table_of_pairs(_of(pairs, sources), ffmpeg, choice.cores, reporter, columns)

    clip_sources = tuple(pair.source for pair in pairs)
    return Corpus(clip_sources, choice.teacher, ffmpeg.libvmaf_version, table)


def open_pairs(choice: CorpusChoice, ffmpeg: Ffmpeg, reporter: Reporter) -> Scan:
    """Find the pairs of the chosen corpus; the demo corpus is made first.

    Raises:
        InputError: the corpus holds no usable pairs, or the cache cannot be written.
        ExtractionError: ffmpeg failed to make the demo corpus.
    """
    _check_choice(choice)
    ClipCache(cache_root()).check_writable()
    if choice.is_demo:
        format = _demo_format(choice)
        with reporter.making("demo corpus", len(demo.clip_names())) as on_clip:
            root = cache_root() / "_demo"
            folder = demo.make_demo_corpus(root, ffmpeg.path, choice.cores, on_clip)
    else:
        folder, format = choice.path, choice.format_or(YuvFormat())
    found = _scan(choice, folder, format, reporter, ffmpeg)
    return _with_content(found, choice.cores, reporter) if choice.verify_content else found


def table_of_pairs(
    pairs: Sequence[Pair],
    ffmpeg: Ffmpeg,
    cores: int,
    reporter: Reporter,
    columns: Sequence[str] | None = None,
) -> FrameTable:
    """Return the frames of some pairs.

    Args:
        pairs: the pairs, in the order of the table's clips.
        ffmpeg: scores the pairs that the cache does not hold.
        cores: number of cores for the passes.
        reporter: follows the passes.
        columns: features to keep; None keeps all that libvmaf logged.

    Raises:
        ExtractionError: some pairs failed; the others are in the cache.
        InputError: libvmaf did not log one of the columns, or the cache cannot be written.
    """
    scores: dict[int, FrameScores] = {}
    workers = local_workers(ffmpeg, cores)
    with closing(frame_scores(pairs, ffmpeg, workers, reporter)) as scored:
        for each in scored:
            scores[each.index] = each.scores
    ordered = [(pair, scores[index]) for index, pair in enumerate(pairs)]
    return FrameTable.from_clips(ordered, columns or scores[0].features, ffmpeg.teacher)


def _open_join(
    choice: CorpusChoice, reporter: Reporter, features: Sequence[str], smoke: bool
) -> Corpus:
    """Open several corpora as one; a source name that two of them have gets the corpus's name."""
    parts = [
        (part.name, open_corpus(part, reporter, features, smoke=smoke)) for part in choice.parts
    ]
    names = unique_names([(name, corpus.clip_sources) for name, corpus in parts])
    check_joinable({name: corpus.libvmaf_version for name, corpus in parts})

    def table(sources: Collection[str]) -> FrameTable:
        return join_tables(
            [
                (corpus.table(own), renamed)
                for (_, corpus), renamed in zip(parts, names, strict=True)
                if (own := _own_names(renamed, sources))
            ]
        )

    clip_sources = tuple(
        renamed[source]
        for (_, corpus), renamed in zip(parts, names, strict=True)
        for source in corpus.clip_sources
    )
    first = parts[0][1]
    return Corpus(clip_sources, first.teacher, first.libvmaf_version, table)


def _own_names(renamed: Mapping[str, str], wanted: Collection[str]) -> tuple[str, ...]:
    """Return a corpus's own names of the wanted sources; of all for an empty choice."""
    return tuple(own for own, shown in renamed.items() if not wanted or shown in wanted)


def _open_table(choice: CorpusChoice, features: Sequence[str], smoke: bool) -> Corpus:
    """Open a Parquet file of frames, which states its own teacher."""
    from vmaf_train.frames.parquet import read_parquet  # pyarrow takes long to import

    if choice.frames != ALL or choice.assume_dims != AUTO:
        raise InputError(
            f"{choice.corpus} holds the frames as exported; leave frames and assume_dims out"
        )
    exported = read_parquet(choice.path)
    check_no_copies(exported.table)
    table = exported.table.select(exported.table.teacher.columns_for(features))
    if choice.max_pairs:
        table = table.take(first_in_turn(table.clip_sources, choice.max_pairs))
    return _corpus_of(table, exported.libvmaf_version, smoke)


def _open_logs(
    choice: CorpusChoice, reporter: Reporter, features: Sequence[str], smoke: bool
) -> Corpus:
    """Open a folder of libvmaf logs; the logs are read here, since each is checked."""
    logs = read_log_folder(choice, reporter, features)
    table = logs.table.select(choice.teacher.columns_for(features))
    return _corpus_of(table, logs.libvmaf_version, smoke)


def _corpus_of(table: FrameTable, libvmaf_version: str, smoke: bool) -> Corpus:
    """Return a table as a corpus; its numbers are zero in a smoke run."""
    if smoke:
        table = replace(table, x_NF=np.zeros_like(table.x_NF), y_N=np.zeros_like(table.y_N))
    return Corpus(
        table.clip_sources,
        table.teacher,
        None if smoke else libvmaf_version,
        lambda sources: table.only(sources) if sources else table,
    )


def _open_smoke(choice: CorpusChoice, columns: Sequence[str], reporter: Reporter) -> Corpus:
    """Open a corpus for a smoke run: features and scores are zero, demo clips are not made."""
    _check_choice(choice)
    if choice.is_demo:
        pairs = _name_demo(choice)
    else:
        looks_at_pixels = choice.is_list or choice.offset == AUTO
        ffmpeg = find_ffmpeg(choice.teacher) if looks_at_pixels else None
        format = choice.format_or(YuvFormat())
        pairs = _scan(choice, choice.path, format, reporter, ffmpeg).pairs

    def table(sources: Collection[str]) -> FrameTable:
        zeros = [(pair, _zero_scores(pair, choice.teacher)) for pair in _of(pairs, sources)]
        return FrameTable.from_clips(zeros, columns, choice.teacher)

    return Corpus(tuple(pair.source for pair in pairs), choice.teacher, None, table)


def _check_choice(choice: CorpusChoice) -> None:
    """Refuse what no corpus of pairs can give, before the demo is made or anything is written."""
    _range(choice)
    if len(choice.parts) > 1:
        raise InputError(
            f"{choice.corpus} joins several corpora; run the command for each folder of clips alone"
        )
    if choice.is_table:
        raise InputError(
            f"{choice.corpus} holds frame scores and no clips; "
            "pass the folder of the clips as corpus"
        )
    if choice.is_logs:
        raise InputError(
            f"{choice.corpus} holds libvmaf logs and no clips, so there is nothing to extract; "
            "train, sweep, evaluate and export-features read them as they are"
        )


def _scan(
    choice: CorpusChoice,
    folder: Path,
    format: YuvFormat,
    reporter: Reporter,
    ffmpeg: Ffmpeg | None,
) -> Scan:
    looks = Looks(ffmpeg.path, cache_root() / "_looks", choice.cores) if ffmpeg else None
    found = layouts.scan(
        folder,
        Reading(
            format=format,
            size="" if choice.assume_dims == AUTO else str(format),
            looks=looks,
            scale=check_scale(choice.scale) == SCALE_TO_REF,
        ),
        sources=choice.sources,
        max_pairs=choice.max_pairs,
        strict=choice.strict,
        frames=_range(choice),
        offset=parse_offset(choice.offset),
        find_offset=ffmpeg.find_offset if ffmpeg else None,
    )
    for line in found.left_out:
        reporter.say(f"left out: {line}")
    return found


def _with_content(found: Scan, cores: int, reporter: Reporter) -> Scan:
    """Return the pairs with the hash of each file's content in its stamp."""
    videos = {video.path: video for pair in found.pairs for video in (pair.ref, pair.dis)}
    reporter.say(f"hashing {len(videos)} files")
    with ThreadPoolExecutor(cores) as pool:
        hashed = {video.path: video.stamp for video in pool.map(with_content, videos.values())}
    pairs = [
        replace(
            pair,
            ref=replace(pair.ref, stamp=hashed[pair.ref.path]),
            dis=replace(pair.dis, stamp=hashed[pair.dis.path]),
        )
        for pair in found.pairs
    ]
    return replace(found, pairs=tuple(pairs))


def _name_demo(choice: CorpusChoice) -> tuple[Pair, ...]:
    """Return the demo's pairs with the names of their files, which need not exist."""
    first, end = _range(choice) or (0, demo.FRAMES)
    if end > demo.FRAMES:
        raise InputError(
            f"the demo's clips hold {demo.FRAMES} frames, so frames {first}:{end} are not all "
            "there; ask for fewer"
        )
    format = choice.format_or(demo.FORMAT)
    pairs = [
        Pair(
            source=dis_source(dis),
            ref=Video(Path("ref", ref), format, demo.FPS),
            dis=Video(Path("dis", dis), format, demo.FPS),
            n_frames=end - first,
            format=format,
        )
        for ref, dis in demo.clip_names()
    ]
    kept = first_in_turn([pair.source for pair in pairs], choice.max_pairs)
    return tuple(pairs[index] for index in kept)


def _demo_format(choice: CorpusChoice) -> YuvFormat:
    if choice.format_or(demo.FORMAT) != demo.FORMAT:
        raise InputError(
            f"the demo corpus is {demo.FORMAT} {demo.FORMAT.pix_fmt}; leave assume_dims and "
            "assume_pix_fmt out, or pass a corpus folder"
        )
    return demo.FORMAT


def _range(choice: CorpusChoice) -> tuple[int, int] | None:
    return None if choice.frames == ALL else parse_frames(choice.frames)


def _of(pairs: Sequence[Pair], sources: Collection[str]) -> list[Pair]:
    return [pair for pair in pairs if not sources or pair.source in sources]


def _zero_scores(pair: Pair, teacher: Teacher) -> FrameScores:
    shape = (pair.n_frames, len(teacher.logged))
    return FrameScores(teacher.logged, np.zeros(shape), np.zeros(pair.n_frames))
