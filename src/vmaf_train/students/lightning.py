"""A loop that runs in Lightning's Trainer, with its callbacks and its MLflow logger.

It needs the extra `lightning`. The steps are those of the batched fit, so the weights have the same
bytes as with the plain loop.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import MLFlowLogger
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from vmaf_train.students.batched_fit import BatchedFit
from vmaf_train.students.loops import Loop, OnEpoch
from vmaf_train.students.settings import Job


def lightning_loop(run_id: str = "", tracking_uri: str = "") -> Loop:
    """Return a loop that runs a batched fit in a Lightning Trainer.

    Args:
        run_id: MLflow run that Lightning's logger writes to; empty logs nothing.
        tracking_uri: tracking URI of that run's store.
    """

    def loop(batched: BatchedFit, on_epoch: OnEpoch | None) -> None:
        if not batched.epochs:
            return
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.ERROR)
        logger = MLFlowLogger(run_id=run_id, tracking_uri=tracking_uri) if run_id else False
        trainer = Trainer(
            max_epochs=batched.epochs,
            accelerator="cpu",
            logger=logger,
            callbacks=[EndEpochs(on_epoch)],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        with warnings.catch_warnings():
            # Lightning warns about a loader without workers and a module without optimiser.
            warnings.simplefilter("ignore")
            trainer.fit(BatchedModule(batched), DataLoader(_Batches(batched), batch_size=None))

    return loop


class _Batches(IterableDataset[tuple[Tensor, Tensor]]):
    """The batches of one epoch per iteration."""

    def __init__(self, batched: BatchedFit) -> None:
        self.batched = batched

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.batched.batches()


class BatchedModule(LightningModule):
    """A batched fit as a LightningModule.

    Its solver is not a torch optimiser, so optimisation is manual.

    Attributes:
        batched: the batched fit.
        losses: losses of the steps of this epoch.
        mean_losses: loss of each job in the last epoch.
    """

    def __init__(self, batched: BatchedFit) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.batched = batched
        self.losses: list[Tensor] = []
        self.mean_losses: Mapping[Job, float] = {}

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Move the weights by one batch."""
        z, t = batch
        self.losses.append(self.batched.step(z, t))

    def on_train_epoch_end(self) -> None:
        """Log the loss of the first job, the student that `fit` returns."""
        loss = next(iter(self.mean_losses.values()))
        # As a tensor: Lightning would round a float to float32.
        self.log("lightning/train_loss", torch.tensor(loss, dtype=torch.float64))

    def configure_optimizers(self) -> None:
        """Configure none: the solver moves the weights."""


class EndEpochs(Callback):
    """Writes the weights to the students after each epoch, and calls `on_epoch`."""

    def __init__(self, on_epoch: OnEpoch | None) -> None:
        self.on_epoch = on_epoch

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the epoch; Lightning calls this before the module's own hook."""
        assert isinstance(pl_module, BatchedModule)
        number = trainer.current_epoch + 1
        batched = pl_module.batched
        pl_module.mean_losses = batched.end_epoch(number, pl_module.losses)
        pl_module.losses = []
        if self.on_epoch:
            self.on_epoch(number, pl_module.mean_losses, batched.students)
