"""One crop to its landmarks as STLD's authors run it, written anew after their release: the baseline of latency.

What the release computes in a call, and a network made for serving does not:

    both heads, of which only the main one is read; TF on HRNet, too, takes HRNet's second heatmap head along
    `eval()` at every call
    maps: two whole maps of differences, one for each axis, of which one cell is read (methods spec 3.5)
    TF: attention weights beside what is attended to, the position encoding at every call and its sum with the
    memory in every layer, and the map of each landmark as a 1x1 convolution of as many groups as landmarks
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d

from lmdeploy.types import F32
from training.models.backbone import concat
from training.models.heatmap import Heatmap
from training.models.transformer import DecoderLayer, Transformer, sine_position

STRIDE = 4  # crop px per map cell


def as_released(net: Heatmap | Transformer) -> nn.Module:
    """The same weights in a module that gives (main, aux) the way the release computes them."""
    return ReleasedTransformer(net) if isinstance(net, Transformer) else net


def authors_call(net: nn.Module, images: Tensor) -> F32:
    """Landmarks f32[B,K,2], crop px, of images f32[B,3,S,S]; `net` as `as_released` gives it."""
    net.eval()
    with torch.no_grad():
        out, _ = net(images)
        points = _peaks(out) * STRIDE - 0.5 if out.dim() == 4 else out * images.shape[-1] - 0.5
    found: F32 = points.numpy()
    return found


class ReleasedTransformer(nn.Module):
    """TF with the weights of ours, computed as the release does."""

    def __init__(self, net: Transformer) -> None:
        """Take over the weights; HRNet's unused head is a new one."""
        super().__init__()
        self.net = net
        self.layers = nn.ModuleList(_Layer(layer) for layer in net.layers if isinstance(layer, DecoderLayer))
        inputs = net.project.in_channels
        self.unused = _head(inputs, net.query.shape[0]) if net.parallel else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates f32[B,K,2] of both heads, crop widths; x f32[B,3,S,S]."""
        net = self.net
        maps = net.backbone(x)
        feature = concat(maps) if net.parallel else maps[-1]
        if self.unused is not None:
            self.unused(feature)
        feature = net.project(feature)
        height, width = feature.shape[-2:]
        position = sine_position(height, width, feature.shape[1], feature.device)
        placed = feature + position.T.reshape(-1, height, width)
        target = net.start(avg_pool2d(placed, (height, width)).flatten(1)).unflatten(1, (-1, feature.shape[1]))
        memory = feature.flatten(2).transpose(1, 2)
        for layer in self.layers:
            target = layer(target, net.query, memory, position)
        hidden = net.hidden(net.norm(target))
        return net.main(hidden), net.aux(hidden)


class _Layer(nn.Module):
    """A decoder layer with weights returned by both attentions and a grouped convolution for the landmarks."""

    def __init__(self, layer: DecoderLayer) -> None:
        super().__init__()
        self.layer = layer
        maps = layer.of_landmark.weight.detach()  # f32[K,D,D], input first
        self.weight = nn.Parameter(maps.transpose(1, 2).flatten(0, 1)[..., None, None].contiguous())
        self.bias = nn.Parameter(layer.of_landmark.bias.detach().flatten())

    def forward(self, target: Tensor, query: Tensor, memory: Tensor, position: Tensor) -> Tensor:
        own = self.layer
        placed = target + query
        found, _ = own.self_attention(placed, placed, target)
        target = own.norms[0](target + found)
        found, _ = own.cross_attention(target + query, memory + position, memory)
        cells = found.flatten(1)[..., None, None]
        of_landmark = conv2d(cells, self.weight, self.bias, groups=target.shape[1]).view_as(found)
        target = own.norms[1](target + torch.relu(of_landmark))
        out: Tensor = own.norms[2](target + own.feed_forward(target))
        return out


def _head(inputs: int, landmarks: int) -> nn.Sequential:
    """HRNet's heatmap head."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 1), nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), nn.Conv2d(inputs, landmarks, 1)
    )


def _peaks(maps: Tensor) -> Tensor:
    """Peaks f32[B,K,2], map cells plus the release's 1 and quarter, of maps f32[B,K,h,w]."""
    width = maps.shape[-1]
    flat = maps.flatten(2)
    at = flat.argmax(2, keepdim=True)
    flat.max(2)  # the release's confidence, which every call computes
    right = nn.ZeroPad2d((1, 1, 0, 0))(maps[..., 2:] - maps[..., :-2])
    below = nn.ZeroPad2d((0, 0, 1, 1))(maps[..., 2:, :] - maps[..., :-2, :])
    quarters = [0.25 * shift.flatten(2).gather(2, at).sign() for shift in (right, below)]
    return torch.cat([at % width + 1 + quarters[0], at // width + 1 + quarters[1]], dim=2)
