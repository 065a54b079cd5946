"""The arguments of ffmpeg for a pass: which filters run on which input, and what is written.

Every pass also writes small pictures of the first frames, from which an offset is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vmaf_train.clips.video import Video
from vmaf_train.extraction.alignment import SMALL

# Names of the files with the small pictures of the reference, and of each distorted video.
SMALL_REF, SMALL_DIS = "ref.gray", "{}.gray"
# Frames per second that the timestamps of a pass state, whatever the videos have.
RATE = 25
# libvmaf's option for the PSNR of luma, beside which opinion scores are judged.
PSNR = r"feature='name=psnr\:enable_chroma=false'"


@dataclass(frozen=True)
class Branch:
    """What one libvmaf filter of a pass extracts, and from which pictures.

    Attributes:
        wanted: options of the libvmaf filter that say what it computes.
        filters: ffmpeg's filters that both videos go through first; empty for none.
        chooses: whether the filters leave frames out.
    """

    wanted: str
    filters: str = ""
    chooses: bool = False


def score_key(index: int) -> str:
    """Return the name of a teacher's score in the log of a pass."""
    return f"teacher{index}"


def extracting(extraction: str) -> str:
    """Return the options of the libvmaf filter that extract features, without any score."""
    return f"model='':feature='{extraction}'"


def teacher_arguments(
    models: Sequence[str], clips: Sequence[Video], ref: Video, threads: int
) -> list[str]:
    """Return ffmpeg's arguments that score clips with teachers against their reference.

    The log holds the scores of the first teacher under `score_key(0)`, and so on. What several
    teachers read is computed once.

    Args:
        models: libvmaf's model of each teacher, such as `version=vmaf_v0.6.1`.
        clips: the distorted videos.
        ref: their reference, which is decoded once.
        threads: number of libvmaf's threads per clip.
    """
    count = len(clips)
    refs = [f"[ref{clip}]" for clip in range(count)]
    # The reference is the last input.
    graph = [
        f"[{count}:v]{_chain(ref.filters)},split={count + 1}{''.join(refs)}[ref]",
        f"[ref]{SMALL}[small]",
    ]
    outputs = _output("[small]", SMALL_REF)
    named = [rf"{model}\:name={score_key(index)}" for index, model in enumerate(models)]
    wanted = f"model='{'|'.join(named)}':{PSNR}"
    for number, (clip, of_clip) in enumerate(zip(clips, refs, strict=True)):
        options = _libvmaf_options(wanted, number, threads)
        graph += [
            f"[{number}:v]{_chain(clip.filters)},split[dis{number}][shown{number}]",
            f"[dis{number}]{of_clip}libvmaf={options}[out{number}]",
            f"[shown{number}]{SMALL}[small{number}]",
        ]
        outputs += _output(f"[out{number}]")
        outputs += _output(f"[small{number}]", SMALL_DIS.format(number))
    inputs = [argument for video in (*clips, ref) for argument in video.arguments()]
    return [*inputs, "-filter_complex", ";".join(graph), *outputs]


def branch_arguments(
    branches: Sequence[Branch],
    threads: int,
    dis_filters: Sequence[str] = (),
    ref_filters: Sequence[str] = (),
) -> list[str]:
    """Return ffmpeg's arguments that run branches on two inputs, dis and ref.

    Args:
        branches: what to extract, from which frames.
        threads: number of libvmaf's threads per branch.
        dis_filters, ref_filters: filters that each input goes through first.
    """
    # ffmpeg fails if an output gets no frame.
    chains = [
        _numbered(0, "dis", dis_filters, len(branches)),
        _numbered(1, "ref", ref_filters, len(branches)),
        f"[dis]{SMALL}[smalldis]",
        f"[ref]{SMALL}[smallref]",
    ]
    outputs: list[str] = []
    for number, branch in enumerate(branches):
        given = made = [f"[dis{number}]", f"[ref{number}]"]
        if branch.filters:
            made = [f"[dis{number}f]", f"[ref{number}f]"]
            chains += [f"{a}{branch.filters}{b}" for a, b in zip(given, made, strict=True)]
        options = _libvmaf_options(branch.wanted, number, threads)
        end = ",nullsink" if branch.chooses else f"[out{number}]"
        chains.append(f"{''.join(made)}libvmaf={options}{end}")
        outputs += [] if branch.chooses else _output(end)
    outputs += _output("[smalldis]", SMALL_DIS.format(0)) + _output("[smallref]", SMALL_REF)
    return ["-filter_complex", ";".join(chains), *outputs]


def small_arguments(ref: Video, dis: Video) -> list[str]:
    """Return ffmpeg's arguments that only write the small pictures of two videos."""
    graph = f"[0:v]{_chain(dis.filters)},{SMALL}[dis];[1:v]{_chain(ref.filters)},{SMALL}[ref]"
    outputs = _output("[dis]", SMALL_DIS.format(0)) + _output("[ref]", SMALL_REF)
    return [*dis.arguments(), *ref.arguments(), "-filter_complex", graph, *outputs]


def _numbered(index: int, name: str, filters: Sequence[str], branches: int) -> str:
    """Return filters that split the frames of an input: [name0], [name1], ..., [name]."""
    labels = "".join(f"[{name}{number}]" for number in range(branches))
    return f"[{index}:v]{_chain(filters)},split={branches + 1}{labels}[{name}]"


def _chain(filters: Sequence[str]) -> str:
    """Return a chain of filters that numbers the frames that come out of these filters.

    Numbered timestamps pair frames by number: containers start at different times and round
    differently.
    """
    return ",".join([*filters, "settb=AVTB", f"setpts=N/{RATE}/TB"])


def _libvmaf_options(wanted: str, clip: int, threads: int) -> str:
    """Return the options of ffmpeg's libvmaf filter that write `<clip>.json`."""
    # The log's name is relative to the working folder, so no path needs escaping. Without
    # shortest=1 the filter repeats the last frame of the shorter file.
    return f"{wanted}:log_path={clip}.json:log_fmt=json:n_threads={threads}:shortest=1"


def _output(label: str, raw: str | None = None) -> list[str]:
    """Return ffmpeg's arguments that read the frames at a label, and write their bytes to a file.

    Args:
        label: name of an output of the graph.
        raw: name of the file; None writes nothing.
    """
    # With the frame rate of the input, ffmpeg would repeat, drop or complain about frames.
    return ["-map", label, "-r", str(RATE), "-f", *(["rawvideo", raw] if raw else ["null", "-"])]
