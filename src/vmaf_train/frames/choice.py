"""What a user chooses to work on; light, since every command starts with it."""

from dataclasses import dataclass
from pathlib import Path

from vmaf_train.clips.layout import YuvFormat, parse_dims
from vmaf_train.extraction.schedule import cores

DEMO = "demo"
AUTO = "auto"
ALL = "all"


@dataclass(frozen=True)
class CorpusChoice:
    """Which pairs to work on.

    Attributes:
        corpus: a folder in the Netflix layout, a .parquet file that `export-features` wrote, or "demo".
        assume_dims: "WxH" of every file; "auto" is 1920x1080, or the demo corpus's own size.
        sources: keep only these; empty keeps all.
        max_pairs: keep at most so many, sources in turn; 0 keeps all.
        strict: files that are no usable pair are an error instead of being left out.
        frames: "first:end" of every clip, or "all".
        jobs: cores to use; 0 is all.
    """

    corpus: str = DEMO
    assume_dims: str = AUTO
    sources: tuple[str, ...] = ()
    max_pairs: int = 0
    strict: bool = False
    frames: str = ALL
    jobs: int = 0

    @property
    def cores(self) -> int:
        """How many cores to use."""
        return self.jobs or cores()

    @property
    def name(self) -> str:
        """The corpus's name without the path to it, which is nobody else's business."""
        return self.corpus if self.corpus == DEMO else self.path.resolve().name

    @property
    def path(self) -> Path:
        """Where the corpus lies, unless it is the demo."""
        return Path(self.corpus).expanduser().absolute()

    @property
    def is_table(self) -> bool:
        """Whether the corpus is a file of frame scores, which needs neither pixels nor ffmpeg."""
        return self.path.suffix == ".parquet"

    def format_or(self, default: YuvFormat) -> YuvFormat:
        """Return the geometry asked for, or `default` for "auto"."""
        return default if self.assume_dims == AUTO else parse_dims(self.assume_dims)
