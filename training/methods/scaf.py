"""SCAF: skip connections in 3FabRec's auto-encoder (Dornier et al. 2022, III-A).

    1  Q, P        auto-encoder, adversarially on all crops, no label used (methods/pretraining.py)
    2  ITL, B, Q   transfer layers, head, skip connections and encoder together     Adam, lr; encoder_lr for Q

Targets and loss are 3FabRec's: 300 mean squared error of the maps against Gaussians of sigma 7 on 128 cells. The
generator is frozen in step 2; the BN of Q and P keeps its statistics, that of the skips B learns. `autoencoder` and
--init are as in `fabrec`.

Differs from the paper: the length of step 2 is ours, 8,000 batches of 40. The authors took 3FabRec's released weights,
which are no longer to be had, so step 1 is our own.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from training.data.crops import Crops
from training.engine.fit import Stage
from training.engine.train_set import Part
from training.engine.trainer import Trainer
from training.methods.fabrec import freeze, step
from training.methods.pretraining import Pretraining, pretrain
from training.models.scaf import Scaf, scaf_of


class Config(BaseModel):
    """Pretraining, step sizes and length."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    autoencoder: str = ""  # run folder or file with a trained one; empty: train it here
    pretraining: Pretraining = Pretraining()
    sigma: float = 7.0  # width of the target Gaussian, map cells
    encoder_lr: float = Field(default=2e-5, gt=0)
    epochs: int = Field(default=100, ge=1)
    decay_at: tuple[int, ...] = ()
    oversample: int = 3200  # the labelled list is repeated up to this length


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops | None) -> Scaf:
    """Auto-encoder, then everything but the generator at once."""
    network = scaf_of(trainer.new_network(), "scaf")
    pretrain(cfg.pretraining, cfg.autoencoder, trainer, network, (unlabelled, labelled))
    freeze(network, encoder=False)
    stage = Stage(
        name="scaf", epochs=cfg.epochs, decay_at=cfg.decay_at,
        rates={"encoder.": cfg.encoder_lr / trainer.settings.schedule.lr},
    )  # fmt: skip
    trainer.fit(network, [Part(labelled, sigma=cfg.sigma, oversample=cfg.oversample)], step, stage)
    trainer.report(network, "scaf")
    return network
