"""Find the pairs of the chosen corpus: the demo, a folder, or a list."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from vmaf_train.clips import demo, layouts
from vmaf_train.clips.looking import Looks
from vmaf_train.clips.netflix import dis_source
from vmaf_train.clips.pairs import Pair, Reading, Scan, first_in_turn, parse_frames, parse_offset
from vmaf_train.clips.video import SCALE_TO_REF, Video, YuvFormat, check_scale, with_content
from vmaf_train.errors import InputError
from vmaf_train.extraction.cache import ClipCache, cache_root
from vmaf_train.extraction.libvmaf import Ffmpeg
from vmaf_train.frames.choice import ALL, AUTO, CorpusChoice
from vmaf_train.reporting import Reporter


def open_pairs(choice: CorpusChoice, ffmpeg: Ffmpeg, reporter: Reporter) -> Scan:
    """Find the pairs of the chosen corpus; the demo corpus is made first.

    Raises:
        InputError: the corpus holds no usable pairs, or the cache cannot be written.
        ExtractionError: ffmpeg failed to make the demo corpus.
    """
    check_pairs(choice)
    # One that is there can serve from what it holds; `frame_scores` writes to it, if it must.
    if not cache_root().is_dir():
        ClipCache(cache_root()).check_writable()
    if choice.is_demo:
        format = _demo_format(choice)
        with reporter.making("demo corpus", len(demo.clip_names())) as on_clip:
            root = cache_root() / "_demo"
            folder = demo.make_demo_corpus(root, ffmpeg.path, choice.cores, on_clip)
    else:
        folder, format = choice.path, choice.format_or(YuvFormat())
    found = scan_pairs(choice, folder, format, reporter, ffmpeg)
    return _with_content(found, choice.cores, reporter) if choice.verify_content else found


def check_pairs(choice: CorpusChoice) -> None:
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


def scan_pairs(
    choice: CorpusChoice,
    folder: Path,
    format: YuvFormat,
    reporter: Reporter,
    ffmpeg: Ffmpeg | None,
) -> Scan:
    """Scan a folder or a list as the user chose; tell the reporter what is left out.

    Args:
        choice: which pairs, and how they are compared.
        folder: of the corpus, or path of the list.
        format: geometry of raw files.
        reporter: receives one line per file that is left out.
        ffmpeg: looks at files that are not raw; None if there are none.
    """
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


def name_demo(choice: CorpusChoice) -> tuple[Pair, ...]:
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
