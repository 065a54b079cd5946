"""`cache ls|verify|prune`: look at the cache, check it, and remove what serves no pass."""

from dataclasses import dataclass

from vmaf_train.errors import VmafTrainError
from vmaf_train.extraction.cache import cache_root
from vmaf_train.extraction.entries import (
    USELESS,
    Entry,
    content_of,
    entries_below,
    largest_difference,
    remove,
    sample,
)
from vmaf_train.extraction.libvmaf import find_ffmpeg
from vmaf_train.extraction.schedule import Pass
from vmaf_train.reporting import Reporter
from vmaf_train.teacher.teachers import TEACHERS, find_teacher

# How far a value may be from that of another pass: libvmaf's log has six decimals.
TOLERANCE = 1e-4
# Entries that are extracted again are drawn by this seed and their number.
SEED = 0


@dataclass(frozen=True)
class Verified:
    """Result of a check.

    Attributes:
        entries: number of entries.
        faults: one line per entry that is damaged, or differs from another pass.
        extracted: number of entries that were extracted again.
        largest: largest difference to these passes.
    """

    entries: int
    faults: tuple[str, ...]
    extracted: int
    largest: float


def list_entries() -> list[Entry]:
    """Return the entries of the cache."""
    return list(entries_below(cache_root()))


def prune(reporter: Reporter) -> list[Entry]:
    """Remove the entries that serve no pass, and return them.

    Raises:
        InputError: the cache cannot be written.
    """
    useless = [entry for entry in list_entries() if entry.state in USELESS]
    for entry in useless:
        remove(entry)
        reporter.say(f"removed {entry.path}: {entry.reason or entry.state}")
    return useless


def verify(reporter: Reporter, count: int) -> Verified:
    """Check the hash of every entry, and extract some again.

    Args:
        reporter: follows the passes, and receives a line for each entry that cannot be compared.
        count: number of entries to extract again, among those whose files are there.

    Raises:
        InputError: the ffmpeg is not usable.
    """
    entries = list_entries()
    faults = [
        f"{each.path}: {each.reason or each.state}" for each in entries if each.state in USELESS
    ]
    extracted, largest = 0, 0.0
    chosen = sample(entries, count, SEED)
    with reporter.scoring(len(chosen)) as step:
        for entry in chosen:
            try:
                difference = _compare(entry)
            except VmafTrainError as error:
                reporter.say(f"not compared: {error}")
            else:
                extracted, largest = extracted + 1, max(largest, difference)
                if difference > TOLERANCE:
                    faults.append(f"{entry.path}: another pass differs by {difference:.2g}")
            step(str(entry.path))
    return Verified(len(entries), tuple(faults), extracted, largest)


def _compare(entry: Entry) -> float:
    """Extract a clip again and return the largest difference to its entry.

    Raises:
        VmafTrainError: the entry is of another libvmaf, or no pass is possible.
    """
    pair, envelope = content_of(entry.path)
    teachers = [find_teacher(name) for name in envelope.scores if name in TEACHERS]
    if not teachers:
        raise VmafTrainError(f"{entry.path}: this version knows none of its teachers")
    ffmpeg = find_ffmpeg(*teachers)
    if ffmpeg.libvmaf_version != envelope.identity.libvmaf_version:
        raise VmafTrainError(
            f"{entry.path}: it is of libvmaf {envelope.identity.libvmaf_version}, this ffmpeg has "
            f"{ffmpeg.libvmaf_version}"
        )
    names = tuple(teacher.name for teacher in teachers)
    (again,) = ffmpeg.extract(Pass((pair,), teachers=names))
    return largest_difference(envelope, again)
