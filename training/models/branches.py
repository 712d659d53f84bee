"""CNT's network: one shared backbone, one branch of its own for each data set (SepBN, IV, Fig. 5).

    x        f32[B,3,S,S]     normalised RGB
    feature  f32[B,C,h,w]     the backbone's last map
    branch d                  {1x1 convolution; BN; LeakyReLU}, so that the shared map suits its landmarks, then
                              cells = 0:  mean over the map; Linear -> 2 K_d
                              cells = n:  the n x n map as one vector; Linear -> hidden; LeakyReLU; Linear -> 2 K_d
    main     f32[B,K,2]       all branches' points one after another, crop widths
    aux      f32[B,K,2]       a second last layer of each branch; how far the two are apart is the spread

In training each sample goes through the branch of its own data set alone: also the branch's batch norm sees no others.

Differs from the paper: `aux`, which is trained on the branch's features without a gradient to them, so that shared
weights and `main` are as without it; the last layer's bias starts in the middle of the crop. The kernel and width of
the extra convolution are not stated; the paper's own backbone ends in 2048 channels of 2 x 2 (width 0 keeps them).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from lmdeploy.errors import InputError
from training.models.backbone import feature_maps
from training.models.base import Network, OnBackbone
from training.models.convert_bn import convert
from training.models.regression import make_trunk
from training.models.vanilla_cnn import VANILLA

CENTRE = 0.5  # crop widths
MOMENTUM, EPS = 0.1, 1e-5  # of batch norm, the framework's own


class Config(OnBackbone):
    """Architecture of the network with branches.

    backbone: `vanilla_cnn` (SepBN's own, backbone_options: channels) or any timm model whose last feature is a map.
    """

    codecs: ClassVar = ("coords",)

    kind: Literal["branches"] = "branches"
    points: tuple[int, ...] = ()  # K_d of each branch; a run fills it in from its data sets, () is one branch
    width: int = Field(default=0, ge=0)  # channels of the extra convolution; 0: as many as the backbone's
    cells: int = Field(default=0, ge=0)  # side of the last map where it is flattened; 0: its mean is taken
    hidden: int = Field(default=1024, gt=0)  # width of the first linear layer after flattening
    slope: float = Field(default=0.01, ge=0)  # of LeakyReLU; 0 is ReLU

    def check(self, size: int) -> None:
        """InputError where the backbone ends in no map, or in one of another side than `cells`."""
        with torch.device("meta"), torch.no_grad():
            plain = self.model_copy(update={"sepbn": None})  # separable batch norms change no shape
            shape = make_map(plain, False)[0].eval()(torch.empty(1, 3, size, size)).shape
        if len(shape) != 4:
            raise InputError(f"backbone {self.backbone!r} ends in no map: take a convolutional network")
        if self.cells not in (0, shape[-1]):
            raise InputError(f"the last map of a crop of {size} px is {shape[-1]} cells wide: set network.cells so")

    def for_parts(self, points: tuple[int, ...]) -> Self:
        """With a branch for each data set."""
        return self.model_copy(update={"points": points})


class Branches(Network):
    """Backbone and branches."""

    def __init__(self, cfg: Config, landmarks: int) -> None:
        """Build the network for K = `landmarks` points in all; random weights unless cfg.pretrained."""
        super().__init__(cfg, landmarks)
        self.points = cfg.points or (landmarks,)
        if sum(self.points) != landmarks:
            raise InputError(f"network.points {list(self.points)} are not {landmarks} points: leave them to the run")
        self.backbone, channels = make_map(cfg, cfg.pretrained)
        self.branches = nn.ModuleList(Branch(cfg, channels, count) for count in self.points)

    def forward(self, x: Tensor, part: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Coordinates f32[B,K,2] of both heads, crop widths; x f32[B,3,S,S].

        part: i64[B], the one branch that each sample goes through; the other branches' points are then 0. None sends
        all samples through all branches.
        """
        feature: Tensor = self.backbone(x)
        with torch.autocast(feature.device.type, enabled=False):
            feature = feature.float()
            found = [branch(feature, _rows(part, d)) for d, branch in enumerate(self.branches)]
        main, aux = (torch.cat(heads, dim=1) for heads in zip(*found, strict=True))
        return main, aux


class Branch(nn.Module):
    """Extra convolution and linear layers of one data set."""

    def __init__(self, cfg: Config, channels: int, landmarks: int) -> None:
        """For K_d = `landmarks` points from a map of so many channels."""
        super().__init__()
        width = cfg.width or channels
        self.cells, self.slope, self.landmarks = cfg.cells, cfg.slope, landmarks
        self.adapt = nn.Conv2d(channels, width, 1, bias=False)
        self.norm = OwnNorm(width)
        self.hidden = nn.Linear(width * cfg.cells**2, cfg.hidden) if cfg.cells else nn.Identity()
        last = cfg.hidden if cfg.cells else width
        self.main, self.aux = nn.Linear(last, 2 * landmarks), nn.Linear(last, 2 * landmarks)
        for head in (self.main, self.aux):
            nn.init.constant_(head.bias, CENTRE)

    def forward(self, feature: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Both heads' f32[B,K_d,2] of feature f32[B,C,h,w]; rows i64[n]: only these go in, the others are 0."""
        if rows is None:
            return self._run(feature)
        nothing = feature.new_zeros(len(feature), self.landmarks, 2)
        if len(rows) == 0:
            return nothing, nothing
        main, aux = self._run(feature[rows])
        return nothing.index_copy(0, rows, main), nothing.index_copy(0, rows, aux)

    def _run(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        own = F.leaky_relu(self.norm(self.adapt(feature)), self.slope)
        flat = own.flatten(1) if self.cells else own.mean(dim=(-2, -1))
        if self.cells:
            flat = F.leaky_relu(self.hidden(flat), self.slope)
        return self.main(flat).unflatten(1, (-1, 2)), self.aux(flat.detach()).unflatten(1, (-1, 2))


class OwnNorm(nn.Module):
    """Batch norm over a branch's own samples in this process.

    Their number changes from batch to batch and from process to process, so it is never shared between processes, and
    a single value a channel, which has no variance, is normalised by the running statistics.
    """

    mean: Tensor
    var: Tensor

    def __init__(self, channels: int) -> None:
        """Scale 1, shift 0."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """f32[B,C,h,w], normalised."""
        learn = self.training and x[:, 0].numel() > 1
        return F.batch_norm(x, self.mean, self.var, self.weight, self.bias, learn, MOMENTUM, EPS)


def make_map(cfg: Config, pretrained: bool | str) -> tuple[nn.Module, int]:
    """From f32[B,3,S,S] to the last map f32[B,C,h,w] of all the backbone's convolutions, and C."""
    if cfg.backbone == VANILLA:
        maps, _, widths = feature_maps(cfg.backbone, cfg.backbone_options, pretrained, cfg.sepbn)
        return _Last(maps), widths[-1]
    net = make_trunk(cfg.backbone, {"global_pool": ""} | cfg.backbone_options, pretrained)
    if cfg.sepbn is not None:
        convert(net, cfg.sepbn)
    width: Any = net.num_features
    return net, int(getattr(net, "head_hidden_size", None) or width)


class _Last(nn.Module):
    """The last of the maps that a network gives."""

    def __init__(self, maps: nn.Module) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, x: Tensor) -> Tensor:
        last: Tensor = self.maps(x)[-1]
        return last


def _rows(part: Tensor | None, branch: int) -> Tensor | None:
    """The samples of a branch, i64[n]; None for all."""
    return None if part is None else (part == branch).nonzero().flatten()
