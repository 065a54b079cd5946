"""`main`: prewarm, train, and evaluate the student on every source, in one run."""

from dataclasses import dataclass

from vmaf_train.commands.evaluate import Evaluated, evaluate_in
from vmaf_train.commands.prewarm import fill_cache
from vmaf_train.commands.train import Trained, train_in
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.reporting import Reporter
from vmaf_train.students.settings import Settings
from vmaf_train.tracking.run import tracked

FOLDER = "all_sources"


@dataclass(frozen=True, eq=False)
class Ran:
    """Result of `main`: the training, and the evaluation of its student on every source."""

    trained: Trained
    evaluated: Evaluated


def run_all(choice: CorpusChoice, arch: str, settings: Settings, reporter: Reporter) -> Ran:
    """Prewarm, train, and evaluate the student on every source, in one run.

    Raises:
        InputError: the corpus, the arch, the ffmpeg or the cache folder is not usable.
        ExtractionError: some pairs failed; the others are in the cache.
    """
    with tracked(arch) as run:
        run.log_metrics(fill_cache(choice, reporter).metrics)
        trained = train_in(run, choice, arch, settings, reporter)
        evaluated = evaluate_in(run, choice, trained.student, arch, reporter, folder=FOLDER)
        return Ran(trained, evaluated)
