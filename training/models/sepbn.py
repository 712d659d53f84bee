"""SepBN: separable batch normalisation (Jin, Feng, Yang, Kittler; Sections III-A and III-B).

Batch norm is a tracking part (mean, variance) and a mapping part (gamma, beta). SepBN shares the first and has K sets
of the second; every sample gets its own mixture of them from what the layer sees of it:

    x^      = (x - mean) / sqrt(var + eps)                            f32[N,C,h,w], running statistics shared
    a       = attention(x)                                            f32[N,G,K]; G groups of neighbouring channels
    pi      = softmax over K of a / tau                               f32[N,G,K]
    gamma_n = sum over k of pi[n,g,k] gamma[k]  for the channels of group g; beta_n alike       f32[N,C]
    y       = gamma_n x^ + beta_n

grouped     a = MLP(flatten(1x1 convolution C -> G (adaptive max pooling of x to T x T)))
simple      a = sigmoid(FC(ReLU(FC(global mean of x)))), C -> C/r -> K; one group      ("squeeze and excitation")
hard        pi = one-hot of its largest entry, without a gradient (Table III; worse, as the paper reports)
tau         falls by a step after every epoch, 30 to 1 in the first 30; it is a buffer, so a checkpoint has it
brute force K whole batch norms; each row goes through the one of its own domain (Section III-A)

Differs from the paper: Eq. 5's sum runs over n, which must be k. Not stated there and ours: the MLP has one hidden
layer of max(8, G K); r = 16; every set starts at the given gamma and beta plus N(0, 0.02). tau counts the epochs that
the weights have been trained, over all stages: a later stage does not soften what an earlier one has settled.
In eval mode tracking and mapping are one multiplication and one addition per sample and channel, to be fast.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from lmdeploy.errors import InputError
from training.models.adaptive_pool import adaptive_max_pool

NOISE = 0.02  # standard deviation that tells the sets apart at the start


class Options(BaseModel):
    """The table network.sepbn; the defaults are the paper's choice (Section V-A).

    places: which batch norms become SepBN; all, or by number: the layers of the Vanilla CNN, 1 to 6; in residual
    blocks those counted so that 3 is the last one of a block (bottlenecks: BN1, BN2, BN3).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    places: Literal["all"] | tuple[int, ...] = "all"
    attention: Literal["grouped", "simple", "brute_force"] = "grouped"
    sets: int = Field(default=3, ge=1)  # K
    groups: int = Field(default=2, ge=1)  # G, of the grouped attention
    pool: int = Field(default=3, ge=1)  # T, cells a side
    reduction: int = Field(default=16, ge=1)  # r of the simple attention
    hard: bool = False
    tau: float = Field(default=30.0, ge=1)
    anneal_epochs: int = Field(default=30, ge=0)  # until tau is 1; 0: it stays as it is


class Grouped(nn.Module):
    """Attention on max-pooled cells, a weight for each group of channels."""

    def __init__(self, channels: int, options: Options) -> None:
        """For x of C = `channels`."""
        super().__init__()
        self.groups, self.sets, self.pool = options.groups, options.sets, options.pool
        outputs = self.groups * self.sets
        hidden = max(8, outputs)
        self.squeeze = nn.Conv2d(channels, self.groups, 1)
        self.first = nn.Linear(self.groups * self.pool**2, hidden)
        self.last = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor, tau: Tensor) -> Tensor:
        """Logits a / tau f32[N,G,K] of x f32[N,C,h,w]."""
        pooled = adaptive_max_pool(x, self.pool)
        if self.training:
            hidden = self.first(self.squeeze(pooled).flatten(1))
        else:  # in few and small calls: no convolution, for which a runtime would turn the cells around
            squeezed = self.squeeze.weight.flatten(1) @ pooled.flatten(2)
            hidden = F.linear(squeezed.flatten(1), self.first.weight, self._bias())
        weight, bias = self.last.weight / tau, self.last.bias / tau
        return F.linear(torch.relu(hidden), weight, bias).view(-1, self.groups, self.sets)

    def _bias(self) -> Tensor:
        """Biases f32[hidden] of the 1x1 convolution and the first layer in one."""
        assert self.squeeze.bias is not None
        of_cell = self.first.weight.view(-1, self.groups, self.pool**2)
        return self.first.bias + of_cell.sum(dim=-1) @ self.squeeze.bias


class Simple(nn.Module):
    """Squeeze and excitation: one weight for each set."""

    def __init__(self, channels: int, options: Options) -> None:
        """For x of C = `channels`."""
        super().__init__()
        hidden = max(1, channels // options.reduction)
        self.first, self.last = nn.Linear(channels, hidden), nn.Linear(hidden, options.sets)

    def forward(self, x: Tensor, tau: Tensor) -> Tensor:
        """Logits a / tau f32[N,1,K] of x f32[N,C,h,w]."""
        logits: Tensor = torch.sigmoid(self.last(torch.relu(self.first(x.mean(dim=(-2, -1))))))
        return logits.unsqueeze(1) / tau


class SepBN(nn.Module):
    """Shared tracking, K mappings gamma and beta f32[K,C], an attention that mixes them."""

    tau: Tensor
    epochs: Tensor

    def __init__(self, norm: nn.BatchNorm2d, options: Options) -> None:
        """Take over the statistics of `norm`, and its gamma and beta as the start of every set."""
        super().__init__()
        channels = norm.num_features
        groups = options.groups if options.attention == "grouped" else 1
        if channels % groups:
            raise InputError(f"{channels} channels cannot be split into {groups} groups: change network.sepbn.groups")
        self.options, self.groups = options, groups
        self.track = _tracking(norm)
        start = norm.weight if norm.weight is not None else torch.ones(channels)
        shift = norm.bias if norm.bias is not None else torch.zeros(channels)
        self.gamma, self.beta = (nn.Parameter(_sets(value, options.sets)) for value in (start, shift))
        self.attention = (Grouped if options.attention == "grouped" else Simple)(channels, options)
        self.register_buffer("tau", torch.tensor(options.tau))
        self.register_buffer("epochs", torch.tensor(0))

    def on_epoch(self) -> None:
        """An epoch of training begins: tau of epoch e = 0, 1, ... of these weights."""
        last = self.options.anneal_epochs - 1
        if last > 0:
            fallen = (self.options.tau - 1) * self.epochs.clamp(max=last) / last
            self.tau.copy_(self.options.tau - fallen)
        elif last == 0:
            self.tau.fill_(1.0)
        self.epochs += 1

    def weights(self, x: Tensor) -> Tensor:
        """Shares pi f32[N,G,K] of x f32[N,C,h,w], fp32."""
        logits: Tensor = self.attention(x, self.tau).float()
        if self.options.hard:
            return F.one_hot(logits.argmax(dim=-1), self.options.sets).to(logits.dtype)
        return logits.softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        """Output y f32[N,C,h,w]; x f32[N,C,h,w]."""
        pi = self.weights(x)
        # bf16 has steps of 1/256 near 1: the mixture of few numbers stays in fp32
        with torch.autocast(x.device.type, enabled=False):
            if self.track.training:
                scale, shift = (self._mixed(value, pi) for value in (self.gamma, self.beta))
                x = self.track(x)
            else:
                scale, shift = self._folded(pi)
            return x * scale.to(x.dtype) + shift.to(x.dtype)

    def _mixed(self, value: Tensor, pi: Tensor) -> Tensor:
        """f32[N,C,1,1]: sum over k of pi[n,g,k] value[k,c] for the channels c of each group g."""
        of_group = value.view(len(value), self.groups, -1)
        return torch.einsum("ngk,kgc->ngc", pi, of_group).flatten(1)[..., None, None]

    def _folded(self, pi: Tensor) -> tuple[Tensor, ...]:
        """Scale and shift f32[N,C,1,1] with the running statistics in them: one matrix times pi gives both."""
        mean, var = self.track.running_mean, self.track.running_var
        assert mean is not None
        assert var is not None
        gamma = self.gamma * torch.rsqrt(var + self.track.eps)
        both = torch.stack([gamma, self.beta - gamma * mean]).view(2, len(gamma), self.groups, -1)  # [2,K,G,C/G]
        own = torch.eye(self.groups, device=pi.device, dtype=both.dtype)
        matrix = torch.einsum("skgc,gj->sgcjk", both, own).reshape(-1, pi.shape[1] * pi.shape[2])
        mixed = F.linear(pi.flatten(1), matrix)
        return mixed[..., None, None].chunk(2, dim=1)


class BruteForce(nn.Module):
    """K whole batch norms; rows are routed by `domain`."""

    def __init__(self, norm: nn.BatchNorm2d, options: Options) -> None:
        """K copies of `norm`."""
        super().__init__()
        self.norms = nn.ModuleList(_copy(norm) for _ in range(options.sets))
        self.domain: int | Tensor = 0

    def forward(self, x: Tensor) -> Tensor:
        """Y f32[N,C,h,w]; `domain` is one number for all rows, or i64[N]."""
        if isinstance(self.domain, int):
            whole: Tensor = self.norms[self.domain](x)
            return whole
        out = torch.empty_like(x)
        for k, norm in enumerate(self.norms):
            rows = torch.nonzero(self.domain == k).squeeze(1)
            if len(rows):
                out[rows] = self._through(norm, x[rows])
        return out

    def _through(self, norm: nn.Module, x: Tensor) -> Tensor:
        """One domain's rows; a single value a channel has no variance and goes by the running statistics."""
        lone = norm.training and x[:, 0].numel() == 1
        out: Tensor = norm.eval()(x) if lone else norm(x)
        if lone:
            norm.train()
        return out


def begin_epoch(network: nn.Module) -> None:
    """Tell all separable batch norms of a network that an epoch of training begins."""
    for module in network.modules():
        if isinstance(module, SepBN):
            module.on_epoch()


def route(network: nn.Module, domain: int | Tensor) -> None:
    """Send the following batches through these brute-force branches: one for all rows, or i64[N] row by row."""
    for module in network.modules():
        if isinstance(module, BruteForce):
            module.domain = domain


def make(norm: nn.BatchNorm2d, options: Options) -> nn.Module:
    """What takes the place of `norm`, on its device and in its mode."""
    kind = BruteForce if options.attention == "brute_force" else SepBN
    made = kind(norm, options).to(norm.running_mean.device if norm.running_mean is not None else None)
    return made.train(norm.training)


def _tracking(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    track = nn.BatchNorm2d(norm.num_features, norm.eps, norm.momentum, affine=False)
    track.load_state_dict({name: value for name, value in norm.state_dict().items() if name in track.state_dict()})
    return track


def _sets(value: Tensor, count: int) -> Tensor:
    """`count` copies f32[K,C] of f32[C], each with noise of its own."""
    copies = value.detach().repeat(count, 1)
    return copies + torch.randn_like(copies) * NOISE


def _copy(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """A plain batch norm with the same numbers."""
    twin = nn.BatchNorm2d(norm.num_features, norm.eps, norm.momentum, affine=norm.weight is not None)
    twin.load_state_dict(norm.state_dict())
    return twin
