"""What one stage trains on: labelled and pseudo-labelled crops in one shuffled list."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from training.data.crops import Crops


@dataclass(frozen=True, slots=True)
class Part:
    """Crops of one source.

    pseudo: the labels were predicted. sigma: width of the target Gaussian, map cells. oversample: the list is
    repeated until it has at least that many entries (STLD's os_num); 0 leaves it as it is.
    """

    crops: Crops
    pseudo: bool = False
    sigma: float = 1.5
    oversample: int = 0


@dataclass(frozen=True, slots=True)
class Rows:
    """Gathered samples: images u8[B,M,M,3], points f32[B,K,2] cache px, pseudo bool[B], sigma f32[B]."""

    images: Tensor
    points: Tensor
    pseudo: Tensor
    sigma: Tensor


class TrainSet:
    """Random access by row over several parts."""

    def __init__(self, parts: list[Part]) -> None:
        """Index the parts; images stay in their memory maps."""
        with warnings.catch_warnings():
            # The arrays are read-only memory maps and are only ever read.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            self._images = [torch.from_numpy(part.crops.images) for part in parts]
        self._points = [torch.from_numpy(part.crops.points) for part in parts]
        self._pseudo = torch.tensor([part.pseudo for part in parts])
        self._sigma = torch.tensor([part.sigma for part in parts])
        lengths = [max(len(part.crops), part.oversample) for part in parts]
        self._part = torch.cat([torch.full((n,), i) for i, n in enumerate(lengths)])
        self._row = torch.cat([torch.arange(n) % len(part.crops) for n, part in zip(lengths, parts, strict=True)])

    def __len__(self) -> int:
        """Number of rows, repeats counted."""
        return len(self._row)

    def gather(self, rows: Tensor) -> Rows:
        """Samples of rows i64[B]."""
        part, row = self._part[rows], self._row[rows]
        if len(self._images) == 1:
            images, points = self._images[0][row], self._points[0][row]
        else:
            images = torch.empty(len(rows), *self._images[0].shape[1:], dtype=torch.uint8)
            points = torch.empty(len(rows), *self._points[0].shape[1:])
            for i, (all_images, all_points) in enumerate(zip(self._images, self._points, strict=True)):
                mine = part == i
                images[mine], points[mine] = all_images[row[mine]], all_points[row[mine]]
        return Rows(images, points, self._pseudo[part], self._sigma[part])
