"""Time of the three-arch sweep's fits, all folds and seeds of an architecture at once, against one after the other.

Usage: python benchmarks/sweep.py [--seeds N] [--archs linear,mlp_small,mlp_medium]
The other way is the plain loop: a DataLoader over the same rows, torch's own Adam, the same batch size and number of
steps, one fit after the other. Errors are printed beside the times: RMSE on the held-out sources of the demo corpus.
"""

import argparse
import time

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from vmaf_train.dataset import FrameTable
from vmaf_train.frames import CorpusChoice, frame_scores, open_corpus
from vmaf_train.libvmaf import find_ffmpeg
from vmaf_train.models import Student
from vmaf_train.reporting import Reporter
from vmaf_train.training import Job, Settings, fit_many, training_rows

HIDDEN = {"linear": (), "mlp_small": (16, 8), "mlp_medium": (64, 32)}


def plain_fit(hidden: tuple[int, ...], x: torch.Tensor, t: torch.Tensor, settings: Settings, seed: int, steps: int):
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in zip((x.shape[1], *hidden), (*hidden, 1), strict=True):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    net = nn.Sequential(*layers[:-1])
    adam = torch.optim.Adam(net.parameters(), lr=0.01)
    loader, done = DataLoader(TensorDataset(x, t), settings.batch_size, shuffle=True), 0
    while done < steps:
        for rows, targets in loader:
            adam.zero_grad()
            nn.functional.mse_loss(net(rows).squeeze(-1), targets).backward()
            adam.step()
            done += 1
            if done == steps:
                break
    return net


def rmse(scores: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.mean((scores.clip(0, 100) - truth) ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--archs", default="linear,mlp_small,mlp_medium")
    options = parser.parse_args()
    ffmpeg, choice, settings = find_ffmpeg(), CorpusChoice(), Settings()
    pairs = open_corpus(choice, ffmpeg, Reporter()).pairs
    table = FrameTable.from_clips(zip(pairs, frame_scores(pairs, ffmpeg, choice.workers, Reporter())[0], strict=True))
    jobs = [Job((source,), seed, settings.teacher_points) for seed in range(options.seeds) for source in table.sources]
    print(
        f"{len(jobs)} fits an architecture\n\n| arch | at once, s | one by one, s | ratio | RMSE | RMSE, one by one |"
    )
    print("|---|---|---|---|---|---|")
    totals = [0.0, 0.0]
    for arch in options.archs.split(","):
        started = time.perf_counter()
        students = fit_many(arch, table, jobs, settings)
        at_once, started, errors = time.perf_counter() - started, time.perf_counter(), []
        for job in jobs:
            x_NF, y_N = training_rows(table, job)
            mean, std = x_NF.mean(0), x_NF.std(0)
            x, t = (
                torch.from_numpy((x_NF - mean) / std).float(),
                torch.from_numpy((y_N - y_N.mean()) / y_N.std()).float(),
            )
            kept = len(table) - len(table.only(job.hold_out))
            steps = settings.epochs * -(-kept // settings.batch_size)
            net = plain_fit(HIDDEN[arch], x, t, settings, job.seed, steps)
            held = table.only(job.hold_out)
            with torch.inference_mode():
                scored = net(torch.from_numpy((held.x_NF - mean) / std).float()).squeeze(-1).numpy()
            errors.append(rmse(scored * y_N.std() + y_N.mean(), held.y_N))
        one_by_one = time.perf_counter() - started
        ours = [judge(student, table.only(job.hold_out)) for student, job in zip(students, jobs, strict=True)]
        print(
            f"| {arch} | {at_once:.1f} | {one_by_one:.1f} | {one_by_one / at_once:.1f} | {np.mean(ours):.4f} | "
            f"{np.mean(errors):.4f} |",
            flush=True,
        )
        totals = [totals[0] + at_once, totals[1] + one_by_one]
    print(f"| all | {totals[0]:.1f} | {totals[1]:.1f} | {totals[1] / totals[0]:.1f} | | |")


def judge(student: Student, held: FrameTable) -> float:
    with torch.inference_mode():
        return rmse(student(torch.from_numpy(held.x_NF)).numpy(), held.y_N)


if __name__ == "__main__":
    main()
