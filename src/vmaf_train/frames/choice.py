"""The user's choice of a corpus. Every command imports this module, so it imports little."""

from dataclasses import dataclass, replace
from pathlib import Path

from vmaf_train.clips.video import NO_SCALE, YuvFormat, check_pix_fmt, parse_dims
from vmaf_train.errors import InputError
from vmaf_train.frames.real import real_table
from vmaf_train.processes import cores
from vmaf_train.teacher.teachers import DEFAULT_TEACHER, Teacher

DEMO = "demo"
REAL = "real"
JOIN = "+"
AUTO = "auto"
NONE = "none"
ALL = "all"
TABLE_SUFFIX = ".parquet"
LIST_SUFFIX = ".csv"
NO_OFFSET = "0"
LOG_SUFFIXES = (".json", ".xml", ".csv")


@dataclass(frozen=True, kw_only=True)
class CorpusChoice:
    """Which pairs to use, and how.

    Attributes:
        corpus: a CSV list of pairs, a folder in the Netflix layout, a folder of libvmaf logs, a
            .parquet file of `export-features`, "demo", "real", or several of these joined by "+".
        assume_dims: "WxH" of every raw file, in pixels; "auto" is 1920x1080, or the size of the
            demo. A list of pairs guesses no size.
        assume_pix_fmt: pixel format of every raw file, as ffmpeg names it.
        scale: "ref" scales a distorted picture of another size to that of its reference; "none"
            refuses it.
        offset: frame i of every dis shows frame i + offset of its ref; a whole number, or "auto" to
            look for it.
        verify_content: compare files with cached results by a hash of their content, not by size
            and modification time.
        mos_csv: CSV file of opinion scores by clip, "netflix_public" for the packaged one, or
            "none" for those that a list of pairs states.
        same_source: groups of sources that are one source, as "A+B" with commas between groups, or
            "none".
        sources: keep only these; empty keeps all.
        max_pairs: keep at most this many, one per source in turn; 0 keeps all.
        strict: raise an error for files that form no usable pair, instead of leaving them out.
        frames: "FIRST:END" of every clip (END is excluded), or "all".
        jobs: number of cores to use; 0 uses all.
        teachers: the teachers whose scores label the frames; none stands for that which a Parquet
            file states, or else for the default.
    """

    corpus: str = DEMO
    assume_dims: str = AUTO
    assume_pix_fmt: str = YuvFormat.pix_fmt
    scale: str = NO_SCALE
    offset: str = NO_OFFSET
    verify_content: bool = False
    mos_csv: str = NONE
    same_source: str = NONE
    sources: tuple[str, ...] = ()
    max_pairs: int = 0
    strict: bool = False
    frames: str = ALL
    jobs: int = 0
    teachers: tuple[Teacher, ...] = ()

    @property
    def teacher(self) -> Teacher:
        """The teacher of a command that has one."""
        return self.teachers[0] if self.teachers else DEFAULT_TEACHER

    @property
    def cores(self) -> int:
        """Number of cores to use."""
        return self.jobs or cores()

    @property
    def parts(self) -> tuple["CorpusChoice", ...]:
        """The choice of each corpus that is joined; one for a corpus alone."""
        if self.path.exists() or JOIN not in self.corpus:
            return (self,)
        # Scores and groups are those of the whole join.
        alone = replace(self, mos_csv=NONE, same_source=NONE)
        return tuple(replace(alone, corpus=name) for name in self.corpus.split(JOIN))

    @property
    def is_demo(self) -> bool:
        """Whether the corpus is the demo corpus."""
        return self.corpus == DEMO

    @property
    def is_table(self) -> bool:
        """Whether the corpus is a Parquet file of frames, which needs neither pixels nor ffmpeg."""
        return self.path.suffix == TABLE_SUFFIX

    @property
    def is_list(self) -> bool:
        """Whether the corpus is a CSV list of pairs."""
        return self.path.suffix == LIST_SUFFIX

    @property
    def is_logs(self) -> bool:
        """Whether the corpus is a folder of libvmaf logs, which needs neither pixels nor ffmpeg."""
        folder = self.path
        if self.corpus in (DEMO, REAL) or not folder.is_dir() or (folder / "ref").exists():
            return False
        return any(path.suffix in LOG_SUFFIXES for path in folder.iterdir())

    @property
    def name(self) -> str:
        """Name of the corpus without its path, which is private to this machine."""
        if len(self.parts) > 1:
            return JOIN.join(part.name for part in self.parts)
        return self.corpus if self.corpus in (DEMO, REAL) else self.path.resolve().name

    @property
    def path(self) -> Path:
        """Absolute path of the corpus; means nothing for the demo.

        Raises:
            InputError: the corpus is "real", which has no frames for the teacher.
        """
        if self.corpus == REAL:
            return real_table(self.teacher)
        return Path(self.corpus).expanduser().absolute()

    def format_or(self, default: YuvFormat) -> YuvFormat:
        """Return the geometry that the user states, or the size of `default` for "auto".

        Raises:
            InputError: `assume_dims` is not WxH, or the pixel format is unknown.
        """
        check_pix_fmt(self.assume_pix_fmt, self.corpus)
        dims = default if self.assume_dims == AUTO else parse_dims(self.assume_dims)
        return replace(dims, pix_fmt=self.assume_pix_fmt)


def one_teacher(choice: CorpusChoice) -> Teacher:
    """Return the teacher of a command that can have only one.

    Raises:
        InputError: there are several.
    """
    if len(choice.teachers) > 1:
        named = ", ".join(teacher.name for teacher in choice.teachers)
        raise InputError(f"teacher names {named}; only prewarm and sweep take several, pass one")
    return choice.teacher
