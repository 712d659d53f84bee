"""The training step as STLD's authors run it, written anew: the baseline of training_speed.

Per image: JPEG -> PIL chain (translate, occlude, flip, rotate, blur, greyscale) -> a loop over the landmarks that
draws their Gaussians. Then fp32, plain NCHW memory format, Adam at 1e-4 (methods spec 3.4 to 3.7).
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor, nn

from lmdeploy.types import F32, U8
from training.models.end_to_end import normalise

STRIDE = 4
SIGMA = 1.5


class AuthorsLoader:
    """Serves batches of N crops, one image after the other, as a data loader without workers does."""

    def __init__(self, crops: U8, points: F32, flip_index: list[int], maps: bool) -> None:
        """Hold crops u8[N,S,S,3] and points f32[N,K,2] (crop px); maps: draw heatmaps, else give crop widths."""
        self._files = [_jpeg(crop) for crop in crops]
        self._points, self._flip, self._maps, self._size = points, flip_index, maps, crops.shape[1]
        self._draw = random.Random(0)

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """Images f32[B,3,S,S] normalised, and the targets f32[B,K,S/4,S/4] or f32[B,K,2]."""
        pairs = [self._one(self._draw.randrange(len(self._files))) for _ in range(size)]
        images = torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image, _ in pairs]).float()
        return normalise(images), torch.from_numpy(np.stack([target for _, target in pairs]))

    def _one(self, index: int) -> tuple[U8, F32]:
        image, points = Image.open(io.BytesIO(self._files[index])).convert("RGB"), self._points[index].copy()
        for change in (self._translate, self._occlude, self._mirror, self._rotate):
            if self._draw.random() < 0.5:
                image, points = change(image, points)
        if self._draw.random() < 0.3:
            image = image.filter(ImageFilter.GaussianBlur(self._draw.uniform(0, 2)))
        if self._draw.random() < 0.2:
            image = image.convert("L").convert("RGB")
        target = self._heatmaps(points) if self._maps else ((points + 0.5) / self._size).astype(np.float32)
        return np.array(image), target

    def _translate(self, image: Image.Image, points: F32) -> tuple[Image.Image, F32]:
        reach = round(self._size * 30 / 256)
        dx, dy = self._draw.randint(-reach, reach), self._draw.randint(-reach, reach)
        moved = image.transform(image.size, Image.Transform.AFFINE, (1, 0, -dx, 0, 1, -dy))
        return moved, points + np.array([dx, dy], np.float32)

    def _occlude(self, image: Image.Image, points: F32) -> tuple[Image.Image, F32]:
        w, h = (int(self._draw.uniform(0, 0.4) * self._size) for _ in "wh")
        x, y = self._draw.randint(0, self._size - w), self._draw.randint(0, self._size - h)
        tint = tuple(self._draw.randrange(256) for _ in range(3))
        ImageDraw.Draw(image).rectangle((x, y, x + w, y + h), fill=tint)
        return image, points

    def _mirror(self, image: Image.Image, points: F32) -> tuple[Image.Image, F32]:
        mirrored = np.stack([self._size - 1 - points[:, 0], points[:, 1]], axis=1)
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), mirrored[self._flip]

    def _rotate(self, image: Image.Image, points: F32) -> tuple[Image.Image, F32]:
        angle = self._draw.uniform(-30, 30)
        c, s, centre = np.cos(np.radians(angle)), np.sin(np.radians(angle)), (self._size - 1) / 2
        turn = np.array([[c, s], [-s, c]], np.float32)
        return image.rotate(angle), ((points - centre) @ turn.T + centre).astype(np.float32)

    def _heatmaps(self, points: F32) -> F32:
        cells = self._size // STRIDE
        maps = np.zeros((len(points), cells, cells), np.float32)
        reach = int(3 * SIGMA)
        axis = np.arange(-reach, reach + 1)
        stamp = np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / (2 * SIGMA**2)).astype(np.float32)
        for k, (x, y) in enumerate((points + 0.5) / STRIDE - 0.5):
            mu, nu = (int(min(max(value, 0), cells - 1)) for value in (x, y))
            top, left = max(nu - reach, 0), max(mu - reach, 0)
            bottom, right = min(nu + reach + 1, cells), min(mu + reach + 1, cells)
            part = stamp[top - nu + reach : bottom - nu + reach, left - mu + reach : right - mu + reach]
            maps[k, top:bottom, left:right] = part
        return maps


def authors_step(network: nn.Module, loader: AuthorsLoader, batch: int, device: torch.device) -> Callable[[], None]:
    """One training step: load, forward of both heads, loss of the main one, backward, Adam."""
    network.to(device).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4)

    def step() -> None:
        x, target = (value.to(device) for value in loader.batch(batch))
        main, _ = network(x)
        gap = main - target
        loss = gap.square().mean() if main.dim() == 4 else gap.abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def _jpeg(crop: U8) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(crop).save(stream, "JPEG", quality=95)
    return stream.getvalue()
