"""HG: the stacked hourglass that TS3 trains (its Section 4.2, after Bulat and Tzimiropoulos; methods spec 6.1).

    x        f32[B,3,S,S]         normalised RGB
    stem     7x7 stride 2 to 64, BN, ReLU; residual 64 -> 128; max-pool 2; residual 128 -> 128; 128 -> 256
    stack m  hourglass of depth 4; 2 residuals; {1x1 256, BN, ReLU}; 1x1 -> C maps f32[B,C,S/4,S/4]
             the next stack sees: input + 1x1 (features) + 1x1 (maps)
    main     the K landmark maps of the last stack     aux     those of the stack before

An hourglass: upper = residuals(x); lower = residuals(pool(x)), then the hourglass of depth - 1 (at the bottom,
residuals), then residuals, doubled in size by repetition; out = upper + lower. Residual: pre-activation,
{BN, ReLU, 1x1 to half; BN, ReLU, 3x3; BN, ReLU, 1x1}; the shortcut is {BN, ReLU, 1x1} where the widths differ.
C = K, or K + 1 with `background` (the last map).

Differs from the paper: `features` (256: the paper's), `depth` and `stacks` are options.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from lmdeploy.errors import InputError
from training.models.base import Network, NetworkOptions

STRIDE = 4  # crop px per map cell


class Config(NetworkOptions):
    """Architecture of HG; the defaults are the paper's."""

    codecs: ClassVar = ("ts3", "subpixel")

    kind: Literal["hourglass"] = "hourglass"
    features: int = Field(default=256, gt=0, multiple_of=4)
    stacks: int = Field(default=4, ge=2)  # M
    depth: int = Field(default=4, ge=1)
    residuals: int = Field(default=2, ge=1)  # at every position
    background: bool = False  # a last map that is 1 where no landmark is

    def unit(self, size: int) -> int:
        """Crop px per map cell."""
        return STRIDE

    def check(self, size: int) -> None:
        """InputError unless every level of the hourglass halves without a rest."""
        unit = STRIDE << self.depth
        if size % unit:
            raise InputError(
                f"crop.size is {size}; for an hourglass network of depth {self.depth} it must be a multiple of {unit}"
            )
        if self.pretrained:
            raise InputError("there are no weights for an hourglass network: set pretrained = false")


class StackedHourglass(Network):
    """Stem and stacks, each of which sees the features and maps of the one before."""

    def __init__(self, cfg: Config, landmarks: int) -> None:
        """Build the network for K = `landmarks` points."""
        super().__init__(cfg, landmarks)
        self.landmarks = landmarks
        f, maps = cfg.features, landmarks + cfg.background
        self.stem = nn.Sequential(
            nn.Conv2d(3, f // 4, 7, stride=2, padding=3), nn.BatchNorm2d(f // 4), nn.ReLU(inplace=True),
            Residual(f // 4, f // 2), nn.MaxPool2d(2), Residual(f // 2, f // 2), Residual(f // 2, f),
        )  # fmt: skip
        self.stacks = nn.ModuleList(_stack(cfg) for _ in range(cfg.stacks))
        self.heads = nn.ModuleList(nn.Conv2d(f, maps, 1) for _ in range(cfg.stacks))
        self.of_features = nn.ModuleList(nn.Conv2d(f, f, 1) for _ in range(cfg.stacks - 1))
        self.of_maps = nn.ModuleList(nn.Conv2d(maps, f, 1) for _ in range(cfg.stacks - 1))

    def raw(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps f32[B,C,S/4,S/4] of every stack, the last one last; x f32[B,3,S,S]."""
        inner = self.stem(x)
        out = []
        for m, (stack, head) in enumerate(zip(self.stacks, self.heads, strict=True)):
            feature = stack(inner)
            out.append(head(feature))
            if m < len(self.of_maps):
                inner = inner + self.of_features[m](feature) + self.of_maps[m](out[-1])
        return tuple(out)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Landmark maps f32[B,K,S/4,S/4] of the last stack and of the one before."""
        maps = self.raw(x)
        return maps[-1][:, : self.landmarks], maps[-2][:, : self.landmarks]


class Residual(nn.Module):
    """Pre-activation residual with a bottleneck of half the width."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """From `inputs` to `outputs` channels."""
        super().__init__()
        half = outputs // 2
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, half, 1),
            nn.BatchNorm2d(half), nn.ReLU(inplace=True), nn.Conv2d(half, half, 3, padding=1),
            nn.BatchNorm2d(half), nn.ReLU(inplace=True), nn.Conv2d(half, outputs, 1),
        )  # fmt: skip
        norm = (nn.BatchNorm2d(inputs), nn.ReLU())
        self.shortcut = nn.Identity() if inputs == outputs else nn.Sequential(*norm, nn.Conv2d(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        """f32[B,inputs,h,w] -> f32[B,outputs,h,w]."""
        out: Tensor = self.shortcut(x) + self.body(x)
        return out


class Hourglass(nn.Module):
    """Down `depth` times and up again, with a branch beside every level."""

    def __init__(self, cfg: Config, depth: int) -> None:
        """One level and the hourglass inside it."""
        super().__init__()
        self.upper, self.down, self.up = _residuals(cfg), _residuals(cfg), _residuals(cfg)
        self.inner: nn.Module = Hourglass(cfg, depth - 1) if depth > 1 else _residuals(cfg)

    def forward(self, x: Tensor) -> Tensor:
        """f32[B,features,h,w] -> the same shape."""
        lower = self.up(self.inner(self.down(max_pool2d(x, 2))))
        out: Tensor = self.upper(x) + interpolate(lower, scale_factor=2.0, mode="nearest")
        return out


def _residuals(cfg: Config) -> nn.Sequential:
    return nn.Sequential(*(Residual(cfg.features, cfg.features) for _ in range(cfg.residuals)))


def _stack(cfg: Config) -> nn.Sequential:
    f = cfg.features
    last = (nn.Conv2d(f, f, 1), nn.BatchNorm2d(f), nn.ReLU(inplace=True))
    return nn.Sequential(Hourglass(cfg, cfg.depth), _residuals(cfg), *last)
