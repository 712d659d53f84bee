"""What every network and its config share."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from training.models.backbone import check_size
from training.models.sepbn import Options


class NetworkOptions(BaseModel):
    """Architecture of a network; `kind` chooses which.

    codecs: those that decode its output, the usual one first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    codecs: ClassVar[tuple[str, ...]]

    kind: str
    pretrained: bool | str = False  # published weights, or a file of `data convert-weights`

    @property
    def trunk(self) -> str:
        """What to call the part that a user may have weights for."""
        return self.kind

    def unit(self, size: int) -> int:
        """Crop px per unit of the output's frame, for crops of side `size`: the whole crop, or a map's cell."""
        return size

    def check(self, size: int) -> None:
        """InputError unless the network takes crops of side `size`."""

    def for_parts(self, points: tuple[int, ...]) -> Self:
        """The config for data sets of so many points each; only a network with branches differs by them."""
        return self


class OnBackbone(NetworkOptions):
    """A network on a timm backbone.

    sepbn: put separable batch norms into the backbone; none without the table.
    """

    backbone: str = "resnet18"  # any timm model that offers feature maps
    backbone_options: dict[str, Any] = {}  # of training.models.backbone and timm, e.g. channels = [48, 64, 96, 128]
    sepbn: Options | None = None

    @property
    def trunk(self) -> str:
        """The backbone's name."""
        return self.backbone

    def check(self, size: int) -> None:
        """InputError unless the backbone turns crops of side `size` into maps that cover exactly the crop."""
        check_size(self.backbone, self.backbone_options, size)


class Network(nn.Module):
    """forward(x) -> (main, aux, ...); predict(x) -> main alone.

    x: f32[B,3,S,S], RGB, ImageNet-normalised for every network: one that was published with another input maps x
    itself. cfg: its config.
    """

    cfg: Any

    def __init__(self, cfg: Any, landmarks: int) -> None:
        """For K = `landmarks` points; random weights unless cfg.pretrained."""
        super().__init__()
        self.cfg = cfg

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Outputs of all heads, the main one first."""
        raise NotImplementedError

    def predict(self, x: Tensor) -> Tensor:
        """Output of the main head."""
        return self.forward(x)[0]
