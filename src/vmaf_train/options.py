"""The options that commands share: their types, limits and help."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vmaf_train.features import SET_NAMES
from vmaf_train.frames.choice import DEMO, JOIN, REAL
from vmaf_train.students.settings import MOST_POINTS, MOST_ROWS_PER_BATCH

# Means that an option is left out: MLproject must pass a value for every option.
NONE = "none"


class YesNo(StrEnum):
    """A switch that MLproject can pass as a value."""

    yes = "yes"
    no = "no"


class Format(StrEnum):
    """How scores are printed."""

    json = "json"
    csv = "csv"


class ExportFormat(StrEnum):
    """For which program a student is written."""

    libvmaf = "libvmaf"


SETS = ", ".join(SET_NAMES)
Clips = Annotated[
    str,
    typer.Option(
        help=f"CSV list of pairs, folder in the Netflix layout, or {DEMO} for the embedded corpus."
    ),
]
Corpus = Annotated[
    str,
    typer.Option(
        help="CSV list of pairs, folder in the Netflix layout or of libvmaf logs, .parquet file of "
        f"export-features, {DEMO}, {REAL}, or several joined by {JOIN}."
    ),
]
ClipsOrLogs = Annotated[
    str,
    typer.Option(
        help="CSV list of pairs, folder in the Netflix layout or of libvmaf logs, "
        f"or {DEMO} for the embedded corpus."
    ),
]
Dims = Annotated[
    str, typer.Option(help="WxH of every raw file; auto is 1920x1080, or the size of the demo.")
]
AssumePixFmt = Annotated[
    str, typer.Option(help="Pixel format of every raw file: yuv420p, yuv422p10le, yuv444p12le, ...")
]
Scale = Annotated[
    str,
    typer.Option(
        help="ref scales a distorted video of another size to its reference; none refuses it."
    ),
]
Offset = Annotated[
    str,
    typer.Option(
        help="Frame i of the distorted video shows frame i + OFFSET of the reference: a whole "
        "number, or auto to look for it."
    ),
]
VerifyContent = Annotated[
    YesNo,
    typer.Option(
        help="yes compares files with the cache by a hash of their content, so that a copied "
        "corpus is not extracted again; no by size and modification time."
    ),
]
MosCsv = Annotated[
    str,
    typer.Option(
        help="CSV of opinion scores: name,score; netflix_public is that of the public Netflix "
        "corpus; none takes those of a list of pairs."
    ),
]
SameSource = Annotated[
    str,
    typer.Option(
        help="Sources that are held out together, such as ElFuente1+ElFuente2, groups separated by "
        "commas; or none."
    ),
]
Targets = Annotated[
    str,
    typer.Option(
        help="What students learn: the teacher's frame scores, opinion scores (mos), or both "
        "(hybrid)."
    ),
]
TargetsList = Annotated[
    str, typer.Option(help="Comma-separated targets: teacher, mos, hybrid; or all.")
]
OwnTargets = Annotated[
    str, typer.Option(help="What the model must have learnt; auto accepts everything.")
]
MosWeight = Annotated[
    float,
    typer.Option(min=1e-6, max=1e6, help="Weight of opinion scores in hybrid; the teacher's is 1."),
]
Expect = Annotated[
    str,
    typer.Option(
        help="Share of the clips, such as 0.95, for which the model's stated interval must hold; "
        "otherwise exit with 3. none expects nothing."
    ),
]
Jobs = Annotated[int, typer.Option(min=0, help="Cores to use; 0 is all.")]
Frames = Annotated[
    str, typer.Option(help="Frames of every clip to use: FIRST:END (END is excluded), or all.")
]
MaxPairs = Annotated[
    int, typer.Option(min=0, help="Use at most this many pairs, one per source in turn; 0 is all.")
]
Sources = Annotated[str, typer.Option(help="Comma-separated sources to keep, or all.")]
Strict = Annotated[
    YesNo,
    typer.Option(help="yes makes a file without a usable pair an error; no leaves it out."),
]
Arch = Annotated[
    str, typer.Option(help="Architecture: mlp_small, quartic, ...; a wrong name lists all of them.")
]
Epochs = Annotated[
    int,
    typer.Option(
        min=0,
        max=100_000,
        help="Number of epochs, each of at most 128 batches; 0 is a smoke run without libvmaf.",
    ),
]
SweepEpochs = Annotated[
    int,
    typer.Option(min=1, max=100_000, help="Number of epochs, each of at most 128 batches."),
]
BatchSize = Annotated[
    int,
    typer.Option(
        min=4, max=MOST_ROWS_PER_BATCH, help="Rows per step: half frames, half teacher's points."
    ),
]
LearningRate = Annotated[
    float,
    typer.Option(
        min=0, help="Longest Gauss-Newton step, or highest Adam rate; 0 is the solver's default."
    ),
]
Features = Annotated[str, typer.Option(help=f"Feature set that the student reads: {SETS}.")]
TeacherPoints = Annotated[
    int,
    typer.Option(
        min=0,
        max=MOST_POINTS,
        help="Feature vectors labelled by the teacher to train on as well; 0 is none.",
    ),
]
Tree = Annotated[str, typer.Option(help="Path of the checkout that holds model/tiny/.")]
Seed = Annotated[
    int, typer.Option(min=0, max=2**63 - 1, help="Seed for initial weights and batch order.")
]

References = Annotated[list[Path], typer.Argument(help="Reference videos, or folders of them.")]
CorpusOut = Annotated[Path, typer.Argument(help="Folder of the corpus to make.")]
Encoders = Annotated[
    str,
    typer.Option(
        help="Comma-separated encoders of ffmpeg: libx264, libx265, libsvtav1, libvpx-vp9, or all."
    ),
]
LadderText = Annotated[
    str,
    typer.Option(
        help="Comma-separated rungs SIZE@RATE, such as 0.5@crf30,540p@800k: share of the height or "
        "lines, and CRF or kbit/s; default is 8 rungs of each encoder."
    ),
]
Seconds = Annotated[
    float,
    typer.Option(min=0, max=3600, help="Cut clips of this length, one per scene; 0 cuts none."),
]
ClipsPerSource = Annotated[
    int, typer.Option(min=0, help="At most this many clips per source; 0 is one per scene.")
]
TeacherName = Annotated[
    str,
    typer.Option(
        help="A VMAF model by libvmaf's name, or the path of a model file; prewarm and sweep take "
        "several, with commas. auto is that of a table of frames or of the evaluated model, or "
        "vmaf_v0.6.1."
    ),
]
Scheduler = Annotated[
    str,
    typer.Option(help="Dask scheduler (an extra): tcp://HOST:PORT, local:N workers, or none."),
]
PrewarmFeatures = Annotated[
    str, typer.Option(help="Feature set that every clip must have; one pass extracts all sets.")
]
Out = Annotated[Path, typer.Argument(help="The .parquet file to write.")]
HoldOut = Annotated[
    str, typer.Option(help="Source to hold out; auto is Tennis, or else the last by name.")
]
Trainer = Annotated[
    str, typer.Option(help="plain, or lightning (an extra): the same steps in Lightning's Trainer.")
]
Archs = Annotated[str, typer.Option(help="Comma-separated architectures, or all.")]
Folds = Annotated[str, typer.Option(help="Comma-separated sources to hold out in turn, or all.")]
Seeds = Annotated[int, typer.Option(min=1, max=1000, help="Fits per fold and architecture.")]
FeatureSets = Annotated[str, typer.Option(help=f"Comma-separated feature sets ({SETS}), or all.")]
AnyModel = Annotated[
    str, typer.Option(help="A run id, a models:/ URI or the path of an .onnx file.")
]
OneSource = Annotated[str, typer.Option(help="One source of the corpus, or all.")]
OwnFeatures = Annotated[
    str, typer.Option(help="Feature set that the model must read; auto accepts every set.")
]
RunId = Annotated[str, typer.Option(help="Id of the training run whose student is promoted.")]
Version = Annotated[
    str, typer.Option(help="Instead of a run: point the alias back at this registered version.")
]
AllowWorse = Annotated[YesNo, typer.Option(help="yes lets a worse student take the alias.")]
AllowDirty = Annotated[
    YesNo, typer.Option(help="yes lets a student pass that was trained by uncommitted code.")
]
Check = Annotated[
    bool, typer.Option("--check", help="Write nothing; list the differences and exit 1 if any.")
]
Kept = Annotated[Path, typer.Argument(help="Folder with what was trained, as train named it.")]
Adopt = Annotated[
    bool,
    typer.Option(
        "--adopt",
        help="Register what the tree ships where no alias names a student; write no file.",
    ),
]
Ref = Annotated[Path | None, typer.Argument(help="The reference video.")]
Dis = Annotated[Path | None, typer.Argument(help="The distorted video.")]
ScoreModel = Annotated[
    str, typer.Option(help="Id of a shipped model, path of an .onnx file, or models:/ URI.")
]
ScoreTeacher = Annotated[
    str,
    typer.Option(
        help="Score with a VMAF model itself, not with a student: a name or path as in train."
    ),
]
ExportModel = Annotated[
    str,
    typer.Argument(
        help="Run id, models:/ or runs:/ URI, path of an .onnx file, or id of a shipped model."
    ),
]
ExportOut = Annotated[Path, typer.Option(help="The file to write.")]
ExportAs = Annotated[
    ExportFormat,
    typer.Option(help="libvmaf: a JSON model for ffmpeg and libvmaf's own tool."),
]
PrintFormat = Annotated[Format, typer.Option(help="Format of the printed scores.")]
PerFrame = Annotated[
    bool, typer.Option("--per-frame", help="Print the score of every frame as well.")
]
Every = Annotated[
    int, typer.Option(help="Score one frame in this many, and estimate the mean of all; 1 is all.")
]
Within = Annotated[
    float | None,
    typer.Option(
        help="Score as many frames as it takes to know the mean this well: half of the 95 % "
        "interval, in score points."
    ),
]
SampleSeed = Annotated[
    int, typer.Option(min=0, max=2**31 - 1, help="Seed that decides which frames are scored.")
]
Size = Annotated[str, typer.Option(help="WxH of raw .yuv files, in pixels.")]
PixFmt = Annotated[str, typer.Option(help="Pixel format of raw .yuv files, as ffmpeg names it.")]
Manifest = Annotated[
    Path | None, typer.Option(help="CSV of pairs: ref,dis and, for raw files, size,pix_fmt.")
]
Log = Annotated[
    Path | None,
    typer.Option(help="Score this libvmaf log (JSON, XML or CSV) instead of two videos."),
]
ScoresOut = Annotated[Path, typer.Option(help="CSV to which the scores of a manifest are added.")]
