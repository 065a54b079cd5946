"""Whether a distorted video is some frames early or late, told by small pictures.

Frames are paired by number, so one frame too many at the start of a file spoils every score. A pass
writes small gray pictures of the first frames of both videos beside its log, which costs no further
decode. Each shift of the distorted video has a mean squared error. A shift is claimed if its error
is the lowest and if it is lower than the one without a shift in nearly all frames that tell
anything. docs/decisions/0013-own-corpora.md says how the limits were chosen.
"""

from pathlib import Path

import numpy as np

# Width and height of a small picture, and the number of frames that are looked at.
WIDTH, HEIGHT, FRAMES = 64, 36, 300
# ffmpeg's filters that make them. The first scaling reads few pixels, the second one averages them.
SMALL = ",".join(
    [
        f"trim=end_frame={FRAMES}",
        f"scale={4 * WIDTH}:{4 * HEIGHT}:flags=neighbor",
        f"scale={WIDTH}:{HEIGHT}:flags=area",
        "format=gray",
    ]
)
# Longest shift that is looked at, in frames either way.
FURTHEST = 30
# A shift must overlap in this many frames and in this share of them: some frames of a short clip
# often resemble others. This many frames must tell something.
OVERLAP, OVERLAP_SHARE, TELLING = 8, 0.5, 4
# A frame tells something if its two errors differ by this share of the larger one.
TOLD = 0.05
# In this share of the telling frames, the shift must have the lower error; and over all of them, at
# most this share of the error without a shift.
AGREED, LOWER = 0.9, 0.8


def remark(offset: int) -> str | None:
    """Return what the user should know of an offset that was found; None for no offset."""
    if not offset:
        return None
    late = "earlier" if offset < 0 else "later"
    return (
        f"the distorted video seems to start {abs(offset)} frames {late} than its reference; if it "
        f"does, pass --offset {offset}, or --offset auto"
    )


def find_offset(ref_TP: np.ndarray, dis_TP: np.ndarray) -> int:
    """Look for the offset of a distorted video: frame i shows frame i + offset of the reference.

    Args:
        ref_TP, dis_TP: small pictures from the first frame on, uint8 of shape (frames, pixels).

    Returns:
        The offset; 0 if no other one can be claimed.
    """
    ref, dis = ref_TP.astype(np.float32), dis_TP.astype(np.float32)
    shifts = [shift for shift in range(-FURTHEST, FURTHEST + 1) if shift]
    errors = {shift: found for shift in shifts if (found := _errors(ref, dis, shift))}
    if not errors:
        return 0

    def ratio(shift: int) -> float:
        plain_T, shifted_T = errors[shift]
        return float(shifted_T.sum() / max(plain_T.sum(), 1e-9))

    best = min(errors, key=ratio)
    return best if _is_better(*errors[best]) else 0


def offset_in(folder: Path, ref: str, dis: str) -> int:
    """Look for an offset in the small pictures that a pass wrote, by the names of their files."""
    pictures = []
    for name in (ref, dis):
        path = folder / name
        # An input without frames gives no file.
        content = path.read_bytes() if path.is_file() else b""
        pictures.append(np.frombuffer(content, np.uint8).reshape(-1, WIDTH * HEIGHT))
    return find_offset(*pictures)


def _errors(ref: np.ndarray, dis: np.ndarray, shift: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the errors of each frame without and with a shift; None if too few frames overlap.

    Only what moves is compared: the mean picture of the compared frames is subtracted.
    """
    first, end = max(0, -shift), min(len(dis), len(ref), len(ref) - shift)
    if end - first < max(OVERLAP, OVERLAP_SHARE * min(len(dis), len(ref))):
        return None
    shown, plain, shifted = (
        frames - frames.mean(0)
        for frames in (dis[first:end], ref[first:end], ref[first + shift : end + shift])
    )
    return ((plain - shown) ** 2).mean(1), ((shifted - shown) ** 2).mean(1)


def _is_better(plain_T: np.ndarray, shifted_T: np.ndarray) -> bool:
    """Tell whether a shift is better than none, in the frames that tell anything."""
    telling_T = np.abs(plain_T - shifted_T) > TOLD * np.maximum(plain_T, shifted_T)
    if telling_T.sum() < TELLING:
        return False
    plain, shifted = plain_T[telling_T], shifted_T[telling_T]
    return bool(np.mean(shifted < plain) >= AGREED and shifted.sum() <= LOWER * plain.sum())
