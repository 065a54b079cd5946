"""`sweep`: compare architectures by leave-one-source-out, one MLflow run per architecture."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from vmaf_train.features import CANONICAL, FEATURE_SETS, FeatureSet, find_feature_set
from vmaf_train.frames.choice import ALL, CorpusChoice
from vmaf_train.frames.opening import open_corpus
from vmaf_train.frames.splits import choose_folds
from vmaf_train.frames.table import FrameTable
from vmaf_train.judging.comparison import Comparison, CrossValidated, compare_archs
from vmaf_train.judging.crossval import cross_validate
from vmaf_train.judging.figures import sweep_figures
from vmaf_train.reporting import Reporter
from vmaf_train.students import architectures
from vmaf_train.students.architectures import Architecture, find_architecture
from vmaf_train.students.settings import Settings
from vmaf_train.teacher.teachers import Teacher
from vmaf_train.tracking.links import Links, links_to, share_view
from vmaf_train.tracking.run import Run, tracked

EXAMPLE_ROWS = 4
SWEEP_TAG = "sweep"


@dataclass(frozen=True, eq=False)
class Swept:
    """A sweep: the comparison, and links to its run and charts."""

    comparison: Comparison
    links: Links


@dataclass(frozen=True, eq=False)
class _Fits:
    """One architecture on one feature set: a row of the sweep."""

    arch: Architecture
    features: FeatureSet

    @property
    def name(self) -> str:
        plain = self.features is CANONICAL
        return self.arch.name if plain else f"{self.arch.name}-{self.features.name}"


def sweep(
    choice: CorpusChoice,
    settings: Settings,
    reporter: Reporter,
    *,
    archs: Sequence[str] = (),
    folds: Sequence[str] = (),
    seeds: int = 5,
    features: Sequence[str] = (CANONICAL.name,),
) -> Swept:
    """Fit every architecture once per fold and seed, judge it on unseen sources, and compare.

    Each architecture has a run, with the student that is kept; one more run has the comparison. All
    of them carry the same tag `sweep`.

    Args:
        choice: the corpus.
        settings: of every fit.
        reporter: gets one line per architecture.
        archs: names of architectures; empty is all.
        folds: sources to hold out in turn; empty is all.
        seeds: fits per fold, with the settings' own seed and those that follow.
        features: names of feature sets; each architecture is fitted for each of them. Empty is
            all that the teacher's passes give.

    Raises:
        InputError: an arch, a feature set, a fold or the corpus is not usable.
    """
    with tracked("sweep") as run:
        sets = _choose_sets(tuple(dict.fromkeys(features)), choice.teacher)
        names = tuple(dict.fromkeys(archs)) or tuple(architectures.ARCHITECTURES)
        fits = list(_choose_fits(tuple(dict.fromkeys(archs)), sets, choice.teacher))
        columns = [column for row in sets for column in row.features]
        corpus = open_corpus(choice, reporter, columns)
        chosen = choose_folds(corpus.clip_sources, folds)

        run.start("sweep")
        shared = {"folds": ",".join(folds) or ALL, "seeds": seeds, "corpus": choice.corpus}
        shared |= {"assume_dims": choice.assume_dims, "max_pairs": choice.max_pairs}
        shared |= asdict(settings)
        set_names = ",".join(row.name for row in sets)
        run.log_settings({"archs": ",".join(names), **shared, "features": set_names})

        table = corpus.table(())
        judged = table.only(chosen)
        libvmaf_version = str(corpus.libvmaf_version)
        sweep_id = run.run_id[:8]
        tags = {
            SWEEP_TAG: sweep_id,
            "dataset_digest": table.digest,
            "libvmaf_version": libvmaf_version,
        }

        def compare(results: dict[str, CrossValidated]) -> Comparison:
            return compare_archs(
                judged,
                results,
                sweep=sweep_id,
                corpus=choice.name,
                teacher_points=settings.teacher_points,
            )

        results: dict[str, CrossValidated] = {}
        for row in fits:
            with tracked(row.name) as own_run:
                own_run.start(row.name)
                own_run.log_settings(
                    {"arch": row.arch.name, **shared, "features": row.features.name}
                )
                result = results[row.name] = cross_validate(
                    row.arch.name,
                    table,
                    judged,
                    replace(settings, features=row.features.name),
                    seeds=seeds,
                    corpus=choice.name,
                    libvmaf_version=libvmaf_version,
                )
                alone = compare({row.name: result})
                log_arch(own_run, alone, result, table, tags)
                rmse = alone.rows[0].frames.rmse
                reporter.say(f"{row.name}: out-of-fold RMSE {rmse:.4f}")

        comparison = compare(results)
        log_comparison(run, comparison, table, tags)
        view = share_view(run.run_id, SWEEP_TAG, sweep_id, order_by="loso/mean_rmse")
        return Swept(comparison, links_to(run.run_id, view))


def log_arch(
    run: Run,
    comparison: Comparison,
    result: CrossValidated,
    table: FrameTable,
    tags: dict[str, str],
) -> None:
    """Log one architecture of a sweep; `comparison` holds its row alone."""
    (row,) = comparison.rows
    student = result.student
    run.log_dataset(table, comparison.corpus, "sweep")
    run.log_tags(tags | {"onnx_sha256": student.sha256})
    run.log_metrics(row.metrics | result.report.model_metrics)
    run.log_files({f"{row.arch}.onnx": student.content})
    run.log_model(student, table.select(student.features).x_NF[:EXAMPLE_ROWS])


def log_comparison(
    run: Run, comparison: Comparison, table: FrameTable, tags: dict[str, str]
) -> None:
    """Log the comparison of all architectures of a sweep."""
    run.log_tags(tags)
    run.log_dataset(table, comparison.corpus, "sweep")
    run.log_files(
        {
            "comparison.json": comparison.model_dump_json(indent=2).encode(),
            "comparison.md": comparison.to_markdown().encode(),
        }
    )
    run.log_files(sweep_figures(comparison))


def _choose_sets(names: Sequence[str], teacher: Teacher) -> list[FeatureSet]:
    """Return the feature sets that were named; for none, those whose features the teacher logs."""
    if names:
        return [find_feature_set(name) for name in names]
    return [row for row in FEATURE_SETS.values() if set(row.features) <= set(teacher.logged)]


def _choose_fits(
    archs: Sequence[str], sets: Sequence[FeatureSet], teacher: Teacher
) -> Iterator[_Fits]:
    """Yield each architecture that was named, or all of them, on every feature set.

    Where all are wanted, skip those that cannot read a set. Naming one of these raises InputError.
    """
    for row in sets:
        for name in archs or _readable(row, teacher):
            yield _Fits(find_architecture(name, row.features, teacher), row)


def _readable(row: FeatureSet, teacher: Teacher) -> list[str]:
    """Return the names of the architectures that can read a feature set."""
    whole = not teacher.missing_from(row.features)
    return [arch.name for arch in architectures.ARCHITECTURES.values() if arch.trained or whole]
