"""The same fit run by Lightning's Trainer instead of the plain loop: its callbacks, and its own logger to MLflow.

Needs the extra `lightning`. The steps are the course's own, so the weights come out as the plain loop's do.
"""

import logging
import warnings
from collections.abc import Iterator

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import MLFlowLogger
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from vmaf_train.students.training import Course, Loop, OnEpoch


class _Batches(IterableDataset[tuple[Tensor, Tensor]]):
    def __init__(self, course: Course) -> None:
        self.course = course

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.course.batches()


class CourseModule(LightningModule):
    """A course as a LightningModule; its solver is no torch optimiser, so the optimisation is manual."""

    def __init__(self, course: Course) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.course = course
        self.losses: list[Tensor] = []
        self.mean_loss = torch.zeros(len(course.students))

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Move the weights by a batch."""
        self.losses.append(self.course.step(*batch))

    def on_train_epoch_end(self) -> None:
        """Log the loss of the epoch that a callback has just settled."""
        self.log("lightning/train_loss", self.mean_loss[0])

    def configure_optimizers(self) -> None:
        """Leave the weights to the course's own solver."""


class SettleEpochs(Callback):
    """Gives the students their weights after each epoch, and tells whoever follows the fit."""

    def __init__(self, on_epoch: OnEpoch | None) -> None:
        self.on_epoch = on_epoch

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Settle; Lightning calls this before the module's own hook."""
        assert isinstance(pl_module, CourseModule)
        number, course = trainer.current_epoch + 1, pl_module.course
        pl_module.mean_loss = course.settle(number, pl_module.losses)
        pl_module.losses = []
        if self.on_epoch:
            self.on_epoch(number, pl_module.mean_loss, course.students)


def lightning_loop(run_id: str = "", tracking_uri: str = "") -> Loop:
    """Return a loop for `fit` that runs a course in a Lightning Trainer.

    Args:
        run_id: the MLflow run that its logger writes to; empty logs nothing.
        tracking_uri: of that run's store.
    """

    def loop(course: Course, on_epoch: OnEpoch | None) -> None:
        if not course.epochs:
            return
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.ERROR)
        logger = MLFlowLogger(run_id=run_id, tracking_uri=tracking_uri) if run_id else False
        trainer = Trainer(
            max_epochs=course.epochs,
            accelerator="cpu",
            logger=logger,
            callbacks=[SettleEpochs(on_epoch)],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        with warnings.catch_warnings():
            # It would like loader processes, and a parameter to optimise.
            warnings.simplefilter("ignore")
            trainer.fit(CourseModule(course), DataLoader(_Batches(course), batch_size=None))

    return loop
