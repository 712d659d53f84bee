"""3FabRec (Browatzki, Wallraven 2020; the network that SCAF builds on): landmarks from a face auto-encoder.

    1  Q, P   auto-encoder, adversarially on all crops, no label used (methods/pretraining.py)
    2  ITL    interleaved transfer layers and head, Q and P frozen          Adam, lr
    3  ITL, Q the same with the encoder                                     Adam, lr; encoder_lr for Q

    y*     Gaussian of the landmark, sigma 7 cells of 128, peak 1, 35 cells wide (codec `scaf`)
    loss   300 mean over annotated landmarks and cells of (main(x) - y*)^2

P is frozen from step 2 on; the BN of Q and P keeps its statistics. `autoencoder` names the run (or a file of it)
whose auto-encoder is taken in place of step 1, so that several label budgets share one. With --init the given
weights are what step 1 begins with; options.pretraining.epochs = [0, 0, 0] goes on to step 2 at once. SCAF's tables
run 3FabRec without step 2 on WFLW (itl_epochs = 0).

Differs from the paper: the lengths of steps 2 and 3 are ours (no length is stated), of 8,000 batches together; the
pretraining as its file says.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from training.data.crops import Crops
from training.engine.batch import Batch
from training.engine.fit import Stage
from training.engine.train_set import Part
from training.engine.trainer import Trainer
from training.losses.landmark_error import landmark_error
from training.losses.source_mean import source_mean
from training.methods.pretraining import Pretraining, pretrain
from training.models.scaf import Scaf, scaf_of

WEIGHT = 300.0


class Config(BaseModel):
    """Pretraining, step sizes and lengths."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    autoencoder: str = ""  # run folder or file with a trained one; empty: train it here
    pretraining: Pretraining = Pretraining()
    sigma: float = 7.0  # width of the target Gaussian, map cells
    encoder_lr: float = Field(default=2e-5, gt=0)
    itl_epochs: int = Field(default=50, ge=0)  # of step 2
    epochs: int = Field(default=50, ge=1)  # of step 3
    decay_at: tuple[int, ...] = ()
    oversample: int = 3200  # the labelled list is repeated up to this length


def step(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Loss of one batch of labelled crops."""
    main, _ = network(batch.x)
    return {"loss": WEIGHT * source_mean(landmark_error(main, batch.target, batch.p), batch.visible)}


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops | None) -> Scaf:
    """Auto-encoder, transfer layers, fine-tuning."""
    network = scaf_of(trainer.new_network(), "fabrec")
    pretrain(cfg.pretraining, cfg.autoencoder, trainer, network, (unlabelled, labelled))
    truth = Part(labelled, sigma=cfg.sigma, oversample=cfg.oversample)
    if cfg.itl_epochs:
        freeze(network, encoder=True)
        trainer.fit(network, [truth], step, Stage(name="itl", epochs=cfg.itl_epochs, decay_at=cfg.decay_at))
        trainer.report(network, "itl")
    freeze(network, encoder=False)
    stage = Stage(
        name="finetune", epochs=cfg.epochs, decay_at=cfg.decay_at,
        rates={"encoder.": cfg.encoder_lr / trainer.settings.schedule.lr},
    )  # fmt: skip
    trainer.fit(network, [truth], step, stage)
    trainer.report(network, "finetune")
    return network


def freeze(network: Scaf, encoder: bool) -> None:
    """Freeze the generator, and the encoder if asked for."""
    network.generator.requires_grad_(False)
    network.encoder.requires_grad_(not encoder)
