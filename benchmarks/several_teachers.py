"""One prewarm for several teachers, against one prewarm for each.

Usage: python benchmarks/several_teachers.py [--corpus PATH] [--assume-dims WxH]
           [--teachers vmaf_v0.6.1,vmaf_v1.0.16_3d0h] [--rounds 3]
Every prewarm is the whole command with an empty cache. All ways run in turn. "A start" is the same
command with the results in the cache, and is subtracted from each in the last column.
"""

import shutil
from functools import partial
from statistics import median

from common import (
    VMAF_TRAIN,
    Took,
    choice_of,
    empty_cache,
    header,
    in_turn,
    make_parser,
    names,
    ratios,
    row,
    throw_away_folder,
    timed,
)

from vmaf_train.frames.choice import AUTO, DEMO

TOGETHER, WARM = "all in one", "a start"


def main() -> None:
    parser = make_parser(__doc__, corpus=DEMO, assume_dims=AUTO, rounds=3)
    parser.add_argument("--teachers", type=names, default=["vmaf_v0.6.1", "vmaf_v1.0.16_3d0h"])
    options = parser.parse_args()
    choice = choice_of(options)
    command = [*VMAF_TRAIN, "prewarm", "--corpus", choice.corpus]
    command += ["--assume-dims", options.assume_dims]

    with throw_away_folder() as cwd, empty_cache() as cache:

        def cold(teachers: str) -> Took:
            # The demo corpus itself stays.
            for entry in cache.iterdir():
                if not entry.name.startswith("_"):
                    shutil.rmtree(entry)
            return timed([*command, "--teacher", teachers], cwd=cwd)

        both = ",".join(options.teachers)
        cold(both)
        ways = {name: partial(cold, name) for name in options.teachers}
        ways[TOGETHER] = partial(cold, both)
        ways[WARM] = partial(timed, [*command, "--teacher", both], cwd=cwd)
        times = in_turn(ways, options.rounds)

    print(header("prewarm", "CPU, s", "wall, s", "CPU, one for each is 1", "beyond the start"))
    start = [took.cpu for took in times[WARM]]
    apart = [sum(values) for values in zip(*cpu_of(times, options.teachers), strict=True)]
    work = [cpu - len(options.teachers) * own for cpu, own in zip(apart, start, strict=True)]
    for name, took in times.items():
        cpu = [each.cpu for each in took]
        beyond = [whole - own for whole, own in zip(cpu, start, strict=True)]
        cells = (median(cpu), median([each.wall for each in took]))
        shares = (median(ratios(cpu, apart)), median(ratios(beyond, work)))
        print(row(name, *(f"{cell:.2f}" for cell in cells), *(f"{share:.3f}" for share in shares)))


def cpu_of(times: dict[str, list[Took]], teachers: list[str]) -> list[list[float]]:
    """Return the CPU of each teacher's own prewarm, one per round."""
    return [[took.cpu for took in times[name]] for name in teachers]


if __name__ == "__main__":
    main()
