"""What a user chooses to work on. Every command starts with it, so it imports little."""

from dataclasses import dataclass
from pathlib import Path

from vmaf_train.clips.video import YuvFormat, parse_dims
from vmaf_train.processes import cores
from vmaf_train.teacher.teachers import DEFAULT_TEACHER, Teacher

DEMO = "demo"
AUTO = "auto"
ALL = "all"
TABLE_SUFFIX = ".parquet"


@dataclass(frozen=True, kw_only=True)
class CorpusChoice:
    """Which pairs to work on.

    Attributes:
        corpus: a folder in the Netflix layout, a .parquet file of `export-features`, or "demo".
        assume_dims: "WxH" of every file; "auto" is 1920x1080, or the demo corpus's own size.
        sources: keep only these; empty keeps all.
        max_pairs: keep at most this many, sources in turn; 0 keeps all.
        strict: files that are no usable pair are an error instead of being left out.
        frames: "first:end" of every clip, or "all".
        jobs: cores to use; 0 is all.
        teacher: whose scores label the frames; a file of frame scores has its own.
    """

    corpus: str = DEMO
    assume_dims: str = AUTO
    sources: tuple[str, ...] = ()
    max_pairs: int = 0
    strict: bool = False
    frames: str = ALL
    jobs: int = 0
    teacher: Teacher = DEFAULT_TEACHER

    @property
    def cores(self) -> int:
        """How many cores to use."""
        return self.jobs or cores()

    @property
    def is_demo(self) -> bool:
        """Whether the corpus is the embedded one."""
        return self.corpus == DEMO

    @property
    def is_table(self) -> bool:
        """Whether the corpus is a file of frame scores, which needs neither pixels nor ffmpeg."""
        return self.path.suffix == TABLE_SUFFIX

    @property
    def name(self) -> str:
        """The corpus's name without the path to it, which is private to this machine."""
        return self.corpus if self.is_demo else self.path.resolve().name

    @property
    def path(self) -> Path:
        """Where the corpus lies, unless it is the demo."""
        return Path(self.corpus).expanduser().absolute()

    def format_or(self, default: YuvFormat) -> YuvFormat:
        """Return the geometry asked for, or `default` for "auto"."""
        return default if self.assume_dims == AUTO else parse_dims(self.assume_dims)
