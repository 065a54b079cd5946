"""Every teacher: NumPy against libvmaf's log, and a student that never saw the clips.

Usage: python benchmarks/teachers.py --corpus PATH [--assume-dims WxH] [--archs quintic]
           [--teachers NAME,NAME]
One pass per pair serves all teachers whose features libvmaf can compute at this size; the others
are left out of the first table. Its columns: frames, those of them with chroma above 0, and the
largest difference of the SVR in NumPy to libvmaf's log, in score points.

Students of the second table learn from what the package holds: `real`, and the demo corpus where
libvmaf can compute the teacher's features on it. Nothing is chosen on the given corpus. Errors are
those per frame, then the largest that a search of the feature box finds, and the proven bound with
the seconds that it took. The third table says how far one teacher's scores are from what a
regression makes of another's features and scores, each source of `real` by all others, per clip:
plain encodes, and sharpened or contrast-raised ones.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations_with_replacement

import numpy as np
from common import choice_of, clocked, header, make_parser, names, row, table_of

from vmaf_train.clips import demo
from vmaf_train.commands.prewarm import fill_cache
from vmaf_train.feature_names import parse_feature
from vmaf_train.features import least_sides
from vmaf_train.frames.choice import AUTO, DEMO, JOIN, REAL, CorpusChoice
from vmaf_train.frames.parquet import read_parquet
from vmaf_train.frames.real import REAL_TABLES
from vmaf_train.frames.table import FrameTable
from vmaf_train.judging.agreement import compare
from vmaf_train.judging.evaluation import box_errors, score_table
from vmaf_train.metrics import rmse
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.reporting import Reporter
from vmaf_train.students.export import to_onnx
from vmaf_train.students.settings import Job, Settings
from vmaf_train.students.training import fit_many
from vmaf_train.teacher.teachers import TEACHERS, Teacher, find_teacher

AGREEMENT = ("teacher", "frames", "chroma above 0", "NumPy against the log")
ERRORS = (
    "teacher",
    "student",
    "learnt from",
    "RMSE",
    "SROCC",
    "worst",
    "box, found",
    "box, proven",
    "search and proof, s",
)
OTHERS = (
    "teacher",
    "from the features of",
    "plain encodes",
    "worst clip",
    "enhanced",
    "worst clip",
)
# Operations of the clips of `real` that NEG is there for.
ENHANCED = ("sharpen", "contrast")


def fits(teacher: Teacher, width: int, height: int) -> bool:
    """Tell whether libvmaf can compute a teacher's features at a size."""
    short, long = least_sides(teacher.features)
    return min(width, height) >= short and max(width, height) >= long


def chroma_of(table: FrameTable) -> str:
    """Return the number of frames with chroma; nothing for a teacher that reads none."""
    stems = [parse_feature(name).stem for name in table.features]
    if "speed_chroma_uv" not in stems:
        return ""
    return str(int((table.x_NF[:, stems.index("speed_chroma_uv")] > 0).sum()))


def embedded(teacher: Teacher) -> CorpusChoice:
    """Return what the package holds for students of a teacher."""
    parts = [DEMO, REAL] if fits(teacher, demo.WIDTH, demo.HEIGHT) else [REAL]
    return CorpusChoice(corpus=JOIN.join(parts), teachers=(teacher,))


def trained_on(choice: CorpusChoice, arch: str, settings: Settings) -> OnnxStudent:
    """Return a student of all sources of a corpus."""
    job = Job(teacher_points=settings.teacher_points)
    student = fit_many(arch, table_of(choice), [job], settings)[job]
    return OnnxStudent(to_onnx(student, {"arch": arch, "teacher": choice.teacher.name}), arch)


def errors_of(student: OnnxStudent, table: FrameTable) -> list[str]:
    """Return the cells of a student's errors on a table, and over the feature box."""
    metrics = compare(score_table(student, table), table.y_N)
    seconds, box = clocked(lambda: box_errors(student, table.teacher))
    assert box and box.worst_found
    proven = "-" if box.proven is None else f"{box.proven:.3f}"
    return [
        f"{metrics.rmse:.4f}",
        f"{metrics.srocc or 0:.6f}",
        f"{metrics.max_abs_error:.3f}",
        f"{box.worst_found:.3f}",
        proven,
        f"{seconds:.1f}",
    ]


def quadratic(x_NF: np.ndarray) -> np.ndarray:
    """Return the terms of a quadratic polynomial of standardised columns."""
    z_NF = np.column_stack([np.ones(len(x_NF)), (x_NF - x_NF.mean(0)) / x_NF.std(0)])
    pairs = combinations_with_replacement(range(z_NF.shape[1]), 2)
    return np.column_stack([z_NF[:, i] * z_NF[:, j] for i, j in pairs])


def pooled_from(given: FrameTable, wanted: FrameTable) -> np.ndarray:
    """Return the error per clip of a teacher's score that other features predict, out of fold.

    The score is that of the given features' own teacher plus a quadratic polynomial of them.

    Args:
        given: the features and scores that there are.
        wanted: the same frames with the scores of the teacher.
    """
    terms_NP, differs_N = quadratic(given.x_NF), wanted.y_N - given.y_N
    off_N = np.empty(len(wanted))
    for source in wanted.sources:
        held = wanted.is_of(source)
        weights_P = np.linalg.lstsq(terms_NP[~held], differs_N[~held])[0]
        off_N[held] = terms_NP[held] @ weights_P - differs_N[held]
    return np.array([off_N[rows].mean() for rows in wanted.clip_rows])


def print_others() -> None:
    """Print how far each table's teacher is from what the other tables' features say of it."""
    print(header(*OTHERS))
    choices = {
        name: CorpusChoice(corpus=REAL, teachers=(find_teacher(name),)) for name in REAL_TABLES
    }
    tables = {name: table_of(choice) for name, choice in choices.items()}
    clips = read_parquet(REAL_TABLES[TEACHERS[0]]).clips
    operations = [str(clip.identity["operation"]) for clip in clips]
    enhanced_C = np.array([name.startswith(ENHANCED) for name in operations])
    plain_C = np.array([not name for name in operations])
    for name, wanted in tables.items():
        for other, given in tables.items():
            if other == name:
                continue
            off_C = pooled_from(given, wanted)
            cells = [
                text
                for part in (plain_C, enhanced_C)
                for text in (
                    f"{rmse(off_C[part], np.zeros(1)):.2f}",
                    f"{np.abs(off_C[part]).max():.2f}",
                )
            ]
            print(row(name, other, *cells), flush=True)


def main() -> None:
    parser = make_parser(__doc__, corpus=None, assume_dims=AUTO, archs=["quintic"])
    parser.add_argument("--teachers", type=names, default=list(TEACHERS))
    options = parser.parse_args()
    given = choice_of(options)
    teachers = [find_teacher(name) for name in options.teachers]
    usable = passes_of(given, teachers)

    print(header(*AGREEMENT))
    tables = {teacher.name: table_of(replace(given, teachers=(teacher,))) for teacher in usable}
    for name, table in tables.items():
        scored_N = table.teacher.score(table.x_NF, table.features)
        off = np.abs(scored_N - table.y_N).max()
        print(row(name, len(table), chroma_of(table), f"{off:.1e}"), flush=True)

    print(f"\n{header(*ERRORS)}")
    for name, table in tables.items():
        choice = embedded(table.teacher)
        for arch in options.archs:
            student = trained_on(choice, arch, Settings())
            print(row(name, arch, choice.corpus, *errors_of(student, table)), flush=True)
    print()
    print_others()


def passes_of(given: CorpusChoice, teachers: Sequence[Teacher]) -> list[Teacher]:
    """Fill the cache for all teachers that can read the corpus, in one pass; return these."""
    format = given.format_or(demo.FORMAT)
    usable = [each for each in teachers if fits(each, format.width, format.height)]
    fill_cache(replace(given, teachers=tuple(usable)), Reporter())
    return usable


if __name__ == "__main__":
    main()
