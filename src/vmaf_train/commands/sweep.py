"""`sweep`: compare architectures by leave-one-source-out, one MLflow run per architecture."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from vmaf_train.commands.prewarm import fill_cache
from vmaf_train.features import CANONICAL, OWN, FeatureSet, find_feature_set
from vmaf_train.frames.choice import ALL, CorpusChoice
from vmaf_train.frames.opening import Corpus, open_corpus, teacher_of
from vmaf_train.frames.opinions import check_learnable
from vmaf_train.frames.splits import choose_folds
from vmaf_train.frames.table import FrameTable
from vmaf_train.judging.comparison import Comparison, CrossValidated, compare_archs
from vmaf_train.judging.crossval import cross_validate
from vmaf_train.judging.figures import sweep_figures
from vmaf_train.reporting import Reporter
from vmaf_train.students import architectures
from vmaf_train.students.architectures import Architecture, check_learns, find_architecture
from vmaf_train.students.settings import TARGETS, TEACHER, Settings
from vmaf_train.teacher.teachers import Teacher
from vmaf_train.tracking.links import Links, links_to, share_view
from vmaf_train.tracking.run import EXAMPLE_ROWS, Run, tracked

SWEEP_TAG = "sweep"


@dataclass(frozen=True, eq=False)
class Swept:
    """A sweep: one comparison per teacher, and links to its run and charts."""

    comparisons: tuple[Comparison, ...]
    links: Links


@dataclass(frozen=True, eq=False)
class _Fits:
    """One architecture on one feature set, with some targets: a row of the comparison.

    Attributes:
        arch, features, targets: what is fitted.
        teacher: name of the teacher in the name of the row; empty in a sweep over one.
    """

    arch: Architecture
    features: FeatureSet
    targets: str
    teacher: str

    @property
    def name(self) -> str:
        parts = [self.arch.name]
        parts += [self.features.name] if self.features.name != OWN else []
        parts += [self.targets] if self.targets != TEACHER else []
        parts += [self.teacher] if self.teacher else []
        return "-".join(parts)


@dataclass(frozen=True, eq=False)
class _Sweep:
    """Data and settings that all fits of one teacher share.

    Attributes:
        id: value of the tag `sweep` of all its runs.
        table: frames of every source.
        judged: frames of the folds, the sources that are held out in turn.
        settings: settings of every fit, except the feature set.
        seeds: fits per fold.
        corpus: name of the corpus.
        libvmaf_version: version of the libvmaf that extracted the features.
        scores: name of the list of opinion scores; None if the corpus has none.
    """

    id: str
    table: FrameTable
    judged: FrameTable
    settings: Settings
    seeds: int
    corpus: str
    libvmaf_version: str
    scores: str | None

    @property
    def tags(self) -> dict[str, str]:
        return {
            SWEEP_TAG: self.id,
            "dataset_digest": self.table.digest,
            "libvmaf_version": self.libvmaf_version,
            "teacher": self.table.teacher.name,
        }

    def fit(self, row: _Fits) -> CrossValidated:
        return cross_validate(
            row.arch.name,
            self.table,
            self.judged,
            replace(self.settings, features=row.features.name, targets=row.targets),
            seeds=self.seeds,
            corpus=self.corpus,
            libvmaf_version=self.libvmaf_version,
            scores=self.scores,
        )

    def compare(self, results: Mapping[str, CrossValidated]) -> Comparison:
        return compare_archs(
            self.judged,
            results,
            sweep=self.id,
            corpus=self.corpus,
            teacher_points=self.settings.teacher_points,
        )


def sweep(
    choice: CorpusChoice,
    settings: Settings,
    reporter: Reporter,
    *,
    archs: Sequence[str] = (),
    folds: Sequence[str] = (),
    seeds: int = 5,
    features: Sequence[str] = (CANONICAL.name,),
    targets: Sequence[str] = (TEACHER,),
) -> Swept:
    """Fit every architecture per fold and seed, judge each fit on its fold, and compare.

    Each architecture has a run, with the student that is kept; one more run has the comparison. All
    these runs have the same value of the tag `sweep`.

    Args:
        choice: the corpus. Each architecture is fitted for each of its teachers; students of
            different teachers are charted together and compared among their own.
        settings: settings of every fit.
        reporter: receives one line per architecture.
        archs: names of architectures; empty is all.
        folds: sources to hold out in turn; empty is all.
        seeds: fits per fold; their seeds count up from that of the settings.
        features: names of feature sets; each architecture is fitted on each set. Empty is
            every set that the teacher's passes give.
        targets: what students learn, each architecture once for each; empty is all of TARGETS.

    Raises:
        InputError: an arch, a feature set, a fold, the targets or the corpus are not usable.
    """
    with tracked("sweep") as run:
        teachers = choice.teachers or (teacher_of(choice),)
        several = len(teachers) > 1
        named = tuple(dict.fromkeys(archs))
        fits = {
            teacher: _fits_of(teacher, named, features, targets, several=several)
            for teacher in teachers
        }
        if several:
            _extract(choice, reporter)
        corpora = {
            teacher: _open(choice, teacher, rows, reporter) for teacher, rows in fits.items()
        }
        chosen = choose_folds(corpora[teachers[0]].clip_sources, folds)

        run.start("sweep")
        logged = _logged_settings(choice, settings, folds, seeds)
        run.log_settings(
            {**logged, **_named([row for rows in fits.values() for row in rows], named)}
        )

        comparisons = []
        for teacher, corpus in corpora.items():
            work = _work_of(corpus, choice.name, chosen, settings, seeds, run.run_id[:8])
            comparison = _fit_all(fits[teacher], work, logged, reporter)
            folder = teacher.name if several else ""
            log_comparison(run, comparison, work.table, work.tags, folder)
            comparisons.append(comparison)
        return Swept(tuple(comparisons), links_to(run.run_id, _share(run.run_id, work)))


def _work_of(
    corpus: Corpus,
    name: str,
    chosen: Sequence[str],
    settings: Settings,
    seeds: int,
    sweep_id: str,
) -> _Sweep:
    """Compute the frames of a corpus, for all fits on it."""
    table = corpus.table(())
    return _Sweep(
        id=sweep_id,
        table=table,
        judged=table.only(chosen),
        settings=settings,
        seeds=seeds,
        corpus=name,
        libvmaf_version=str(corpus.libvmaf_version),
        scores=corpus.scores,
    )


def _extract(choice: CorpusChoice, reporter: Reporter) -> None:
    """Let one pass per pair serve all teachers."""
    for part in choice.parts:
        if not (part.is_table or part.is_logs):
            fill_cache(part, reporter)


def _open(
    choice: CorpusChoice, teacher: Teacher, fits: Sequence[_Fits], reporter: Reporter
) -> Corpus:
    """Open the corpus with the scores of a teacher and the features of its fits."""
    columns = [column for row in fits for column in row.features.features]
    return open_corpus(replace(choice, teachers=(teacher,)), reporter, columns)


def log_arch(
    run: Run,
    comparison: Comparison,
    result: CrossValidated,
    table: FrameTable,
    tags: Mapping[str, str],
) -> None:
    """Log one architecture of a sweep; `comparison` holds only its row."""
    (row,) = comparison.rows
    student = result.student
    run.log_dataset(table, comparison.corpus, "sweep")
    run.log_tags({**tags, "onnx_sha256": student.sha256})
    run.log_metrics(row.metrics | result.report.model_metrics)
    run.log_files({f"{row.arch}.onnx": student.content})
    run.log_model(student, table.select(student.features).x_NF[:EXAMPLE_ROWS])


def log_comparison(
    run: Run, comparison: Comparison, table: FrameTable, tags: Mapping[str, str], folder: str = ""
) -> None:
    """Log the comparison of all architectures of a sweep for one teacher.

    The tags of a sweep over several teachers are those of the last.
    """
    run.log_tags(tags)
    run.log_dataset(table, comparison.corpus, "sweep")
    run.log_files(
        {
            "comparison.json": comparison.model_dump_json(indent=2).encode(),
            "comparison.md": comparison.to_markdown().encode(),
        },
        folder,
    )
    run.log_files(sweep_figures(comparison), folder)


def _fit_all(
    rows: Sequence[_Fits], work: _Sweep, logged: Mapping[str, object], reporter: Reporter
) -> Comparison:
    """Fit the rows of one teacher, with one run per row, and compare them.

    Raises:
        InputError: opinion scores are to be learnt, and there are too few.
    """
    if any(row.targets != TEACHER for row in rows):
        check_learnable(work.table, work.judged.sources)
    results = {row.name: _fit_in_own_run(row, work, logged, reporter) for row in rows}
    return work.compare(results)


def _fit_in_own_run(
    row: _Fits, work: _Sweep, logged: Mapping[str, object], reporter: Reporter
) -> CrossValidated:
    with tracked(row.name) as run:
        run.start(row.name)
        own = {"arch": row.arch.name, "features": row.features.name, "targets": row.targets}
        run.log_settings({**logged, **own})
        result = work.fit(row)
        comparison = work.compare({row.name: result})
        log_arch(run, comparison, result, work.table, work.tags)
        reporter.say(f"{row.name}: out-of-fold RMSE {comparison.rows[0].frames.rmse:.4f}")
        return result


def _logged_settings(
    choice: CorpusChoice, settings: Settings, folds: Sequence[str], seeds: int
) -> dict[str, object]:
    """Return the parameters that every run of a sweep logs."""
    return {
        "folds": ",".join(folds) or ALL,
        "seeds": seeds,
        "corpus": choice.corpus,
        "assume_dims": choice.assume_dims,
        "max_pairs": choice.max_pairs,
        **asdict(settings),
    }


def _choose_sets(names: Sequence[str], teacher: Teacher) -> list[FeatureSet]:
    """Return the feature sets that were named; for none, those whose features the teacher logs."""
    if names:
        return [find_feature_set(name, teacher.features) for name in names]
    return [row for row in teacher.sets.values() if set(row.features) <= set(teacher.logged)]


def _fits_of(
    teacher: Teacher,
    archs: Sequence[str],
    features: Sequence[str],
    targets: Sequence[str],
    *,
    several: bool,
) -> list[_Fits]:
    """Return what is fitted for a teacher; see `_choose_fits`."""
    sets = _choose_sets(tuple(dict.fromkeys(features)), teacher)
    return list(_choose_fits(archs, sets, teacher, targets or TARGETS, several=several))


def _choose_fits(
    archs: Sequence[str],
    sets: Sequence[FeatureSet],
    teacher: Teacher,
    targets: Sequence[str],
    *,
    several: bool,
) -> Iterator[_Fits]:
    """Yield each named architecture, or all, on every feature set, for all targets.

    If none is named, skip those that cannot read a set, or that cannot learn opinion scores. If
    such a one is named, raise InputError.
    """
    for aim in dict.fromkeys(targets):
        # Raises if it is unknown.
        Settings(targets=aim)
        for row in sets:
            for name in archs or _readable(row, teacher):
                architecture = find_architecture(name, row.features, teacher)
                if aim != TEACHER and (archs or architecture.trained):
                    check_learns(architecture, aim)
                if aim == TEACHER or architecture.trained:
                    yield _Fits(architecture, row, aim, teacher.name if several else "")


def _share(run_id: str, work: _Sweep) -> str:
    """Store the view of a sweep's runs, the best first; return its key."""
    if work.scores:
        return share_view(run_id, SWEEP_TAG, work.id, order_by="mos/srocc", ascending=False)
    return share_view(run_id, SWEEP_TAG, work.id, order_by="loso/mean_rmse")


def _named(fits: Sequence[_Fits], archs: Sequence[str]) -> dict[str, str]:
    """Return the parameters of a sweep's run that are lists."""
    return {
        "archs": ",".join(archs or architectures.ARCHITECTURES),
        "features": ",".join(dict.fromkeys(row.features.name for row in fits)),
        "targets": ",".join(dict.fromkeys(row.targets for row in fits)),
    }


def _readable(row: FeatureSet, teacher: Teacher) -> list[str]:
    """Return the names of the architectures that can read a feature set."""
    whole = not teacher.missing_from(row.features)
    return [arch.name for arch in architectures.ARCHITECTURES.values() if arch.trained or whole]
