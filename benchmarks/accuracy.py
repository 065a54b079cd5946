"""Error of students on a corpus that they never saw: trained on the demo, judged on yours.

Usage: python benchmarks/accuracy.py --corpus PATH [--assume-dims WxH] [--seeds N]
           [--archs linear,mlp_small] [--features lite]
Nothing is chosen on the given corpus: default settings, every source, every frame.

Printed are mean and deviation over seeds, the lowest SROCC, and the largest errors.
Box errors are those on 200,000 random vectors from the box of possible features, then the largest
that a search of the box finds, and for polynomials a bound that is proven.
"""

import statistics
from collections.abc import Sequence

from common import choice_of, header, make_parser, row, throw_away_store

from vmaf_train.commands.evaluate import evaluate_model
from vmaf_train.commands.train import train
from vmaf_train.features import CANONICAL, find_feature_set
from vmaf_train.frames.choice import AUTO, CorpusChoice
from vmaf_train.judging.report import EvalReport
from vmaf_train.reporting import Reporter
from vmaf_train.students.architectures import ARCHITECTURES
from vmaf_train.students.settings import Settings
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

COLUMNS = (
    "student",
    "parameters",
    "RMSE, demo hold-out",
    "RMSE, given",
    "SROCC",
    "max error",
    "box RMSE",
    "box max",
    "box, found",
    "box, proven",
)


def archs_for(features: str) -> list[str]:
    """Return the architectures that can read a feature set."""
    missing = DEFAULT_TEACHER.missing_from(find_feature_set(features).features)
    return [name for name, arch in ARCHITECTURES.items() if arch.trained or not missing]


def train_and_judge(
    arch: str, settings: Settings, given: CorpusChoice
) -> tuple[EvalReport, EvalReport]:
    """Train on the demo; return the reports on its hold-out and on the given corpus."""
    trained = train(CorpusChoice(), arch, settings, Reporter())
    judged = evaluate_model(given, trained.links.run_id, Reporter())
    return trained.report, judged.report


def cells(held_out: Sequence[EvalReport], judged: Sequence[EvalReport]) -> list[str]:
    """Return the figures of one architecture; both hold one report per seed."""
    boxes = [report.box for report in judged if report.box]
    return [
        str(held_out[0].model.parameters),
        spread([report.rmse for report in held_out]),
        spread([report.rmse for report in judged]),
        f"{min(report.srocc or 0 for report in judged):.6f}",
        f"{max(report.max_abs_error for report in judged):.3f}",
        spread([box.rmse for box in boxes]) if boxes else "-",
        largest([box.max_abs_error for box in boxes]),
        largest([box.worst_found for box in boxes]),
        largest([box.proven for box in boxes]),
    ]


def largest(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{max(known):.3f}" if known else "-"


def spread(values: Sequence[float]) -> str:
    return f"{statistics.mean(values):.4f} ± {statistics.pstdev(values):.4f}"


def main() -> None:
    parser = make_parser(__doc__, corpus=None, assume_dims=AUTO, seeds=5, archs=[])
    parser.add_argument("--features", default=CANONICAL.name)
    options = parser.parse_args()
    given = choice_of(options)

    print(header(*COLUMNS))
    with throw_away_store():
        for arch in options.archs or archs_for(options.features):
            pairs = [
                train_and_judge(arch, Settings(seed=seed, features=options.features), given)
                for seed in range(options.seeds)
            ]
            held_out, judged = zip(*pairs, strict=True)
            print(row(arch, *cells(held_out, judged)), flush=True)


if __name__ == "__main__":
    main()
