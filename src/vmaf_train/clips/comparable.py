"""Two videos are compared frame by frame: what is known of each, and whether they are alike.

ffmpeg's libvmaf filter converts a video of another pixel format or range without a word. So a
difference is an error here, with the command that repairs it. Only a size is scaled, if asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vmaf_train.clips.looking import Look, Looks, repair, unusable
from vmaf_train.clips.manifest import PairRow
from vmaf_train.clips.video import (
    PIX_FMTS,
    RAW_SUFFIX,
    SCALE_TO_REF,
    SCALER,
    Video,
    YuvFormat,
    open_video,
    stamp_of,
)
from vmaf_train.errors import InputError
from vmaf_train.features import check_size

# Looks at files, and what is wrong with those that cannot be looked at.
LooksAt = Mapping[Path, Look | InputError]


@dataclass(frozen=True)
class Shown:
    """A video and what is known of its picture.

    Attributes:
        video: the video.
        format: its geometry.
        full_range: whether luma runs from 0 to 255; None for a raw file, which does not state it.
        doubts: what makes its frames doubtful, with the command that repairs it; None if nothing.
    """

    video: Video
    format: YuvFormat
    full_range: bool | None = None
    doubts: str | None = None


def look_at(files: Sequence[Path], looks: Looks) -> LooksAt:
    """Return the look at each file that is not raw."""
    return looks.at([file for file in files if file.suffix != RAW_SUFFIX])


def show(path: Path, size: str, pix_fmt: str, looks: LooksAt) -> Shown:
    """Return a video and what is known of its picture.

    Args:
        path: path of the file.
        size, pix_fmt: of a raw file; ignored if the file is not raw.
        looks: the look at the file, if it is not raw.

    Raises:
        InputError: there is no such file, it holds no video, or a raw file's size or pixel format
            is missing, unknown or does not fit its number of bytes.
    """
    video = replace(open_video(path, size, pix_fmt), stamp=stamp_of(path))
    if video.format:
        return Shown(video, video.format)
    seen = looks[path]
    if isinstance(seen, InputError):
        raise seen
    doubts = unusable(path, seen)
    if seen.pix_fmt not in PIX_FMTS:
        raise InputError(str(doubts))
    return Shown(replace(video, held=seen.frames), seen.format, seen.full_range, doubts)


def open_pair(
    row: PairRow, looks: Looks, features: Sequence[str]
) -> tuple[Video, Video, list[str]]:
    """Open the two videos of a row to compare them as they are, frame 0 with frame 0.

    Args:
        row: names the videos.
        looks: takes the looks.
        features: libvmaf features that will be extracted.

    Returns:
        The reference, the distorted video, and what makes the comparison doubtful.

    Raises:
        InputError: see `show` and `align_sizes`; or the picture is too small for the features.
    """
    looked = look_at([row.ref, row.dis], looks)
    ref, dis = (show(path, row.size, row.pix_fmt, looked) for path in (row.ref, row.dis))
    check_size(features, ref.format.width, ref.format.height, str(row.ref))
    doubts = [shown.doubts for shown in (ref, dis) if shown.doubts]
    return ref.video, align_sizes(ref, dis, scale=row.scale == SCALE_TO_REF), doubts


def shifted(
    ref: Video, dis: Video, offset: int, frames: tuple[int, int] | None
) -> tuple[Video, Video]:
    """Return two videos whose first frames belong together.

    Args:
        ref, dis: the two videos, whole.
        offset: frame i of dis shows frame i + offset of ref.
        frames: the first frame of dis to use and the one to stop before; None is all.
    """
    if not offset and not frames:
        return ref, dis
    first, end = frames or (max(0, -offset), None)
    of_ref = (first + offset, end + offset if end else None)
    return replace(ref, frames=of_ref), replace(dis, frames=(first, end))


def align_sizes(ref: Shown, dis: Shown, *, scale: bool) -> Video:
    """Return the distorted video, scaled to the size of its reference if they differ.

    Args:
        ref, dis: the two videos.
        scale: whether to scale.

    Raises:
        InputError: they differ in pixel format or range; or in size, without `scale`.
    """
    path, of_ref = dis.video.path, f"its reference {ref.video.path}"
    if ref.format.pix_fmt != dis.format.pix_fmt:
        deeper, other = _deeper_first(ref, dis)
        raise InputError(
            f"{path} is {dis.format.pix_fmt}, {of_ref} {ref.format.pix_fmt}; convert one: "
            f"{repair(other.video.path, ['-pix_fmt', deeper.format.pix_fmt])}"
        )
    if None not in (ref.full_range, dis.full_range) and ref.full_range != dis.full_range:
        wanted = "pc" if ref.full_range else "tv"
        arguments = ["-vf", f"scale=out_range={wanted}", "-color_range", wanted]
        raise InputError(
            f"{path} has another range of luma than {of_ref}; convert it: {repair(path, arguments)}"
        )
    if str(ref.format) == str(dis.format):
        return dis.video
    if not scale:
        arguments = ["-vf", f"scale={ref.format.width}:{ref.format.height}:flags={SCALER}"]
        raise InputError(
            f"{path} is {dis.format}, {of_ref} {ref.format}; pass scale=ref to scale it in the "
            f"pass, or scale it first: {repair(path, arguments)}"
        )
    return replace(dis.video, scaled_to=(ref.format.width, ref.format.height))


def _deeper_first(ref: Shown, dis: Shown) -> tuple[Shown, Shown]:
    """Return the video with more bits per pixel first: the other can be converted without loss."""
    bits = [shown.format.frame_bytes / shown.format.pixels for shown in (ref, dis)]
    return (ref, dis) if bits[0] >= bits[1] else (dis, ref)
