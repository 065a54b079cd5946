"""Open the chosen corpus: a folder of pairs, the demo, libvmaf logs, Parquet files, or a join."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from vmaf_train.clips.pairs import Pair, first_in_turn
from vmaf_train.clips.video import YuvFormat
from vmaf_train.errors import InputError
from vmaf_train.extraction.libvmaf import Ffmpeg, find_ffmpeg
from vmaf_train.extraction.logs import FrameScores
from vmaf_train.extraction.passes import frame_scores, local_workers
from vmaf_train.frames.choice import ALL, AUTO, JOIN, NONE, REAL, CorpusChoice, one_teacher
from vmaf_train.frames.finding import check_pairs, name_demo, open_pairs, scan_pairs
from vmaf_train.frames.joining import (
    check_joinable,
    check_no_copies,
    join_tables,
    unique_names,
)
from vmaf_train.frames.log_folder import read_log_folder
from vmaf_train.frames.opinions import Opinions, check_categories, matched, read_opinions
from vmaf_train.frames.table import FrameTable, relabelled, renamed
from vmaf_train.reporting import Reporter
from vmaf_train.teacher.teachers import DEFAULT_TEACHER, Teacher, find_teacher


@dataclass(frozen=True)
class Corpus:
    """A corpus: its clips are known, and `table` computes its frames.

    Attributes:
        clips: the name of each clip.
        clip_sources: the source of each clip.
        teacher: the teacher whose scores label the frames.
        libvmaf_version: version of the libvmaf that extracted the features; None for a smoke run,
            which runs none.
        table: returns the frames of some sources; no source means all. The libvmaf passes can take
            hours.
        scores: name of the list of opinion scores; None if the corpus has none.
    """

    clips: tuple[str, ...]
    clip_sources: tuple[str, ...]
    teacher: Teacher
    libvmaf_version: str | None
    table: Callable[[Collection[str]], FrameTable]
    scores: str | None = None

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
        InputError: the corpus, the ffmpeg or the list of scores is not usable, or the cache cannot
            be written.
    """
    choice = replace(choice, teachers=(teacher_of(choice),))
    corpus = _open(choice, reporter, features, smoke=smoke)
    if choice.same_source != NONE:
        corpus = _grouped(corpus, choice.same_source)
    if choice.mos_csv != NONE:
        corpus = _rated(corpus, read_opinions(choice.mos_csv), reporter)
    return corpus


def teacher_of(choice: CorpusChoice, default: str = DEFAULT_TEACHER.name) -> Teacher:
    """Return the teacher of a corpus: the one that was chosen, or that a Parquet file states.

    Args:
        choice: the corpus.
        default: name of the teacher if nothing else says one.

    Raises:
        InputError: several were chosen, or the file is not usable.
    """
    if choice.teachers:
        return one_teacher(choice)
    for part in choice.parts:
        if part.is_table and part.corpus != REAL:
            from vmaf_train.frames.parquet import teacher_in  # pyarrow takes long to import

            return teacher_in(part.path)
    return find_teacher(default)


def _open(
    choice: CorpusChoice, reporter: Reporter, features: Sequence[str], *, smoke: bool
) -> Corpus:
    """Open a corpus as it is."""
    if len(choice.parts) > 1:
        return _open_join(choice, reporter, features, smoke)
    if choice.is_table:
        return _open_table(choice, reporter, features, smoke)
    if choice.is_logs:
        return _open_logs(choice, reporter, features, smoke)

    columns = choice.teacher.columns_for(features)
    if smoke:
        return _open_smoke(choice, columns, reporter)

    ffmpeg = find_ffmpeg(choice.teacher)
    pairs = open_pairs(choice, ffmpeg, reporter).pairs

    def table(sources: Collection[str]) -> FrameTable:
        return table_of_pairs(_of(pairs, sources), ffmpeg, choice.cores, reporter, columns)

    return _corpus_of_pairs(choice, pairs, ffmpeg.libvmaf_version, table)


def _corpus_of_pairs(
    choice: CorpusChoice,
    pairs: Sequence[Pair],
    libvmaf_version: str | None,
    table: Callable[[Collection[str]], FrameTable],
) -> Corpus:
    rated = any(pair.mos is not None for pair in pairs)
    if rated:
        check_categories(_mos_of(pairs), choice.name)
    return Corpus(
        clips=tuple(pair.clip for pair in pairs),
        clip_sources=tuple(pair.source for pair in pairs),
        teacher=choice.teacher,
        libvmaf_version=libvmaf_version,
        table=table,
        scores=choice.name if rated else None,
    )


def _rated(corpus: Corpus, opinions: Opinions, reporter: Reporter) -> Corpus:
    """Return a corpus whose clips have the scores of a list."""
    mos_C, lines = matched(opinions, corpus.clips)
    check_categories(mos_C, opinions.name)
    for line in lines:
        reporter.say(line)

    def table(sources: Collection[str]) -> FrameTable:
        found = corpus.table(sources)
        return replace(found, mos_C=matched(opinions, found.clips)[0])

    return replace(corpus, table=table, scores=opinions.name)


def _grouped(corpus: Corpus, text: str) -> Corpus:
    """Return a corpus in which the sources of each group are one source.

    Raises:
        InputError: the text is malformed, or a source is not in the corpus or in two groups.
    """
    groups = [tuple(group.split(JOIN)) for group in text.split(",")]
    named = [source for group in groups for source in group]
    known = ", ".join(corpus.sources)
    if any(len(group) < 2 for group in groups) or len(set(named)) < len(named):
        raise InputError(f"same_source {text!r} is no list of groups such as A+B,C+D")
    if unknown := [source for source in named if source not in corpus.sources]:
        raise InputError(f"same_source: no {', '.join(unknown)} in the corpus; it has {known}")
    shown = {source: "-".join(group) for group in groups for source in group}

    def rename(sources: Sequence[str]) -> tuple[str, ...]:
        return tuple(shown.get(source, source) for source in sources)

    def table(sources: Collection[str]) -> FrameTable:
        own = [source for source in corpus.sources if shown.get(source, source) in sources]
        found = corpus.table(own if sources else ())
        return replace(found, clip_sources=rename(found.clip_sources))

    return replace(corpus, clip_sources=rename(corpus.clip_sources), table=table)


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
    table = FrameTable.from_clips(ordered, columns or scores[0].features, ffmpeg.teachers[0])
    psnr_C = np.array([np.nan if each.psnr is None else each.psnr for _, each in ordered])
    rated = any(pair.mos is not None for pair in pairs)
    return replace(table, mos_C=_mos_of(pairs) if rated else None, psnr_C=psnr_C)


def _mos_of(pairs: Sequence[Pair]) -> np.ndarray:
    """Return the opinion score of each pair, NaN for none: float64 of shape (pairs,)."""
    return np.array([np.nan if pair.mos is None else pair.mos for pair in pairs])


def _open_join(
    choice: CorpusChoice, reporter: Reporter, features: Sequence[str], smoke: bool
) -> Corpus:
    """Open several corpora as one; a source name that two of them have gets the corpus's name."""
    parts = [(part.name, _open(part, reporter, features, smoke=smoke)) for part in choice.parts]
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
    scores = JOIN.join(corpus.scores for _, corpus in parts if corpus.scores)
    return Corpus(
        clips=tuple(clip for _, corpus in parts for clip in corpus.clips),
        clip_sources=clip_sources,
        teacher=first.teacher,
        libvmaf_version=first.libvmaf_version,
        table=table,
        scores=scores or None,
    )


def _own_names(renamed: Mapping[str, str], wanted: Collection[str]) -> tuple[str, ...]:
    """Return a corpus's own names of the wanted sources; of all for an empty choice."""
    return tuple(own for own, shown in renamed.items() if not wanted or shown in wanted)


def _open_table(
    choice: CorpusChoice, reporter: Reporter, features: Sequence[str], smoke: bool
) -> Corpus:
    """Open a Parquet file of frames; another teacher than its own labels the frames in NumPy."""
    from vmaf_train.frames.parquet import read_parquet  # pyarrow takes long to import

    if choice.frames != ALL or choice.assume_dims != AUTO:
        raise InputError(
            f"{choice.corpus} holds the frames as exported; leave frames and assume_dims out"
        )
    exported = read_parquet(choice.path)
    check_no_copies(exported.table)
    table = exported.table
    if choice.corpus == REAL and table.teacher.features != choice.teacher.features:
        reporter.say(
            f"{REAL}: its frames have the feature options of {table.teacher.name}; here their "
            f"vectors stand for frames with those of {choice.teacher.name}"
        )
        table = renamed(table, choice.teacher)
    if table.teacher is not choice.teacher:
        table = relabelled(table, choice.teacher, choice.corpus)
        reporter.say(f"{choice.corpus}: labelled by the model file of {choice.teacher.name}")
    table = table.select(choice.teacher.columns_for(features))
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
        clips=table.clips,
        clip_sources=table.clip_sources,
        teacher=table.teacher,
        libvmaf_version=None if smoke else libvmaf_version,
        table=lambda sources: table.only(sources) if sources else table,
        scores=None if table.mos_C is None else "the table",
    )


def _open_smoke(choice: CorpusChoice, columns: Sequence[str], reporter: Reporter) -> Corpus:
    """Open a corpus for a smoke run: features and scores are zero, demo clips are not made."""
    check_pairs(choice)
    if choice.is_demo:
        pairs = name_demo(choice)
    else:
        looks_at_pixels = choice.is_list or choice.offset == AUTO
        ffmpeg = find_ffmpeg(choice.teacher) if looks_at_pixels else None
        format = choice.format_or(YuvFormat())
        pairs = scan_pairs(choice, choice.path, format, reporter, ffmpeg).pairs

    def table(sources: Collection[str]) -> FrameTable:
        chosen = _of(pairs, sources)
        zeros = [(pair, _zero_scores(pair, choice.teacher)) for pair in chosen]
        empty = FrameTable.from_clips(zeros, columns, choice.teacher)
        rated = any(pair.mos is not None for pair in chosen)
        return replace(empty, mos_C=_mos_of(chosen) if rated else None)

    return _corpus_of_pairs(choice, pairs, None, table)


def _of(pairs: Sequence[Pair], sources: Collection[str]) -> list[Pair]:
    return [pair for pair in pairs if not sources or pair.source in sources]


def _zero_scores(pair: Pair, teacher: Teacher) -> FrameScores:
    shape = (pair.n_frames, len(teacher.logged))
    return FrameScores(teacher.logged, np.zeros(shape), {teacher.name: np.zeros(pair.n_frames)})
