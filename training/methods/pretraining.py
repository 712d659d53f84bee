"""Adversarial pretraining of 3FabRec's auto-encoder (methods spec 8.1), which `fabrec` and `scaf` share.

    phase 1   rec + latent                                  rec     255 mean |x - x'|
    phase 2   rec + latent + gan                            latent  -log D_z(z), every 2nd batch
    phase 3   0.5 rec + 0.5 struct + latent + gan           gan     -log D(x')
    D_z       -log D_z(N(0, I)) - log(1 - D_z(z)), every 4th batch          struct  60 (1 - mean cs)
    D         -log D(x) - log(1 - D(x')), every 2nd batch, half the step size

Adam 2e-5, betas (0, 0.999), batches of 50, on labelled and unlabelled crops without their labels.

Differs from the paper: auto-encoder and discriminators take their steps on the same batch at once, from one backward
pass, where the release lets one follow the other; the lengths of the phases are ours (it trained 50 to 100 epochs of
2.1 million images); Adam starts anew with each phase. Weights of rec alone (1) and of the adversarial terms (1) are
ours.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from lmdeploy.errors import InputError
from lmdeploy.types import U8
from training.augment import config
from training.augment.pipeline import centre_view
from training.data.crops import Crops
from training.engine import checkpoint
from training.engine.batch import Batch
from training.engine.fit import Schedule, Stage, Step
from training.engine.train_set import Part
from training.engine.trainer import Trainer
from training.losses.adversarial import deceive, tell
from training.losses.reconstruction import reconstruction, structure
from training.models import adversary
from training.models.adversary import Adversarial, Played, Turn, prior_like
from training.models.autoencoder import own_scale, to_rgb
from training.models.end_to_end import as_input
from training.models.scaf import Scaf

STAGES = ("autoencoder1", "autoencoder2", "autoencoder3")
PARTS = ("encoder.", "generator.")
CODE_EVERY, PRIOR_EVERY, IMAGE_EVERY = 2, 4, 2  # batches
SHOWN = 8  # pictures of a sheet


class Pretraining(BaseModel):
    """The auto-encoder's training; the defaults are the published ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: tuple[int, int, int] = (20, 15, 15)  # of the three phases; 0 leaves one out
    batch: int = Field(default=50, gt=1)
    lr: float = Field(default=2e-5, gt=0)
    betas: tuple[float, float] = (0.0, 0.999)
    critic_rate: float = Field(default=0.5, gt=0)  # D's step size as a multiple of lr
    lambda_gan: float = Field(default=1.0, ge=0)
    lambda_latent: float = Field(default=1.0, ge=0)
    critics: adversary.Config = adversary.Config()
    views: config.Config = config.Config(
        translate=0.035, scale=0.06, p_rotate=1.0, rotate=45.0, p_occlude=0.0, p_blur=0.0, p_grey=0.0,
        brightness=0.0, contrast=0.0, saturation=0.0, noise=0.0, shear=0.0875,
    )  # fmt: skip


def turn_of(phase: int, step: int) -> Turn:
    """Who plays in batch `step` of phase 1, 2 or 3."""
    gan = phase >= 2
    return Turn(step % PRIOR_EVERY == 0, step % CODE_EVERY == 0, gan and step % IMAGE_EVERY == 0, gan)


def adversarial_step(cfg: Pretraining, phase: int) -> Step:
    """All losses of one batch; who does not play has 0, who plays each n-th time stands n times in the log."""

    def step(module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        x = own_scale(batch.view(cfg.views).x)
        turn = turn_of(phase, batch.step)
        played: Played = module(x, prior_like(len(x), module, x.device), turn)
        rec = reconstruction(played.image, x)
        struct = structure(played.image, x) if phase == 3 else torch.zeros_like(rec)
        similar = 0.5 * rec + 0.5 * struct if phase == 3 else rec
        terms = _adversarial(played, rec)
        weight = {"latent": cfg.lambda_latent, "gan": cfg.lambda_gan}
        loss = similar + sum(weight.get(name, 1.0) * value for name, value in terms.items())
        shown = {name: value * every for (name, value), every in zip(terms.items(), _every(), strict=True)}
        return {"loss": loss, "rec": rec, "struct": struct} | shown

    return step


def _adversarial(played: Played, like: Tensor) -> dict[str, Tensor]:
    """The terms of whoever played, else zero."""
    none = torch.zeros_like(like)
    tells_code = none if played.prior is None or played.code is None else tell(played.prior, played.code)
    tells_fake = none if played.photo is None or played.fake is None else tell(played.photo, played.fake)
    latent = none if played.code_deceives is None else deceive(played.code_deceives)
    gan = none if played.fake_deceives is None else deceive(played.fake_deceives)
    return {"d_z": tells_code, "latent": latent, "d": tells_fake, "gan": gan}


def _every() -> tuple[int, int, int, int]:
    return PRIOR_EVERY, CODE_EVERY, IMAGE_EVERY, 1


def pretrain(
    cfg: Pretraining, autoencoder: str, trainer: Trainer, network: Scaf, crops: tuple[Crops | None, ...]
) -> None:
    """Give the network a trained auto-encoder: the given one, else one trained here on all crops."""
    if autoencoder:
        take(network, Path(autoencoder))
        return
    module = Adversarial(network.encoder, network.generator, cfg.critics).to(trainer.fabric.device)
    network.generator.requires_grad_(True)
    parts = [Part(some, pseudo=True) for some in crops if some is not None]
    schedule = Schedule(batch=cfg.batch, lr=cfg.lr, betas=cfg.betas)
    for phase, (name, epochs) in enumerate(zip(STAGES, cfg.epochs, strict=True), start=1):
        if epochs:
            stage = Stage(name=name, epochs=epochs, rates={"image_critic.": cfg.critic_rate})
            trainer.fit(module, parts, adversarial_step(cfg, phase), stage, schedule)
            trainer.picture(name, sheet(network, parts[0].crops, trainer.settings.spec.crop.size))


def take(network: Scaf, ref: Path) -> None:
    """Fill encoder and generator from an earlier run's folder (its auto-encoder) or from one of its files."""
    saved = checkpoint.read(_file(ref)).weights
    own = {name: value for name, value in saved.items() if name.startswith(PARTS)}
    wanted = {name: value.shape for name, value in network.state_dict().items() if name.startswith(PARTS)}
    if {name: value.shape for name, value in own.items()} != wanted:
        raise InputError(
            f"autoencoder {ref}: not an auto-encoder of this size; set [network] size, widths, blocks and latent to "
            "those of its run, or leave options.autoencoder empty to train one"
        )
    network.load_state_dict(own, strict=False)


def _file(ref: Path) -> Path:
    """The auto-encoder as its last phase left it, before any landmark was learnt."""
    if not ref.is_dir():
        return ref
    phases = [ref / "stages" / f"{name}.safetensors" for name in reversed(STAGES)]
    found = next((file for file in phases if file.is_file()), None)
    if found is None:
        raise InputError(
            f"autoencoder {ref}: a run without stages/{STAGES[-1]}.safetensors, so none was trained in it"
        )
    if not checkpoint.read(found).about.done:
        raise InputError(f"autoencoder {ref}: {found.name} is not finished; let its run go on first")
    return found


def sheet(network: Scaf, crops: Crops, size: int) -> U8:
    """Crops spread over the list above what the auto-encoder makes of them, u8[2 S,8 S,3] RGB."""
    rows = np.linspace(0, len(crops) - 1, min(SHOWN, len(crops))).astype(np.int64)
    device = next(network.parameters()).device
    images = torch.from_numpy(np.stack([crops.images[i] for i in rows])).to(device)
    plain, _ = centre_view(images, torch.zeros(len(rows), 1, 2, device=device), size)
    was_training = network.training
    network.eval()
    with torch.no_grad():
        made = to_rgb(network.reconstruct(as_input(plain)))
    network.train(was_training)
    top, bottom = (torch.cat(list(images), dim=1) for images in (plain, made))
    return torch.cat([top, bottom]).cpu().numpy()
