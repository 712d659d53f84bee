"""What one stage trains on: labelled and pseudo-labelled crops in one shuffled list."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.data.attributes import Column
from training.data.crops import Crops

F16 = npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Part:
    """Crops of one source.

    pseudo: the labels were predicted, or are not to be used. sigma: width of the target Gaussian, map cells. p: shrink
    exponent of coordinate losses. oversample: the list is repeated until it has at least that many entries (STLD's
    os_num); 0 leaves it as it is. rows: which of the crops count; None for all of them. maps: labels as maps of the
    plain crops, f16[len(part),C,h,w], one for each entry before oversampling, 0 where the crop ends; the first K are
    the landmarks'. None: the points are the labels.
    """

    crops: Crops
    pseudo: bool = False
    sigma: float = 1.5
    p: float = 1.0
    oversample: int = 0
    rows: tuple[int, ...] | None = None
    maps: F16 | None = None

    def __len__(self) -> int:
        """Entries before oversampling."""
        return len(self.crops) if self.rows is None else len(self.rows)


@dataclass(frozen=True, slots=True)
class Rows:
    """Gathered samples: images u8[B,M,M,3], points f32[B,K,2] cache px, pseudo bool[B], sigma f32[B] map cells.

    p: f32[B]. score: f32[B,K], confidence of the labels, 1 for true ones; None when no part has any. attributes:
    f32[B,A], NaN = not known; None when no part has any. maps: f16[B,C,h,w], Part.maps, 0 for samples of a part that
    has none; None when no part has any.
    """

    images: Tensor
    points: Tensor
    pseudo: Tensor
    sigma: Tensor
    p: Tensor
    score: Tensor | None = None
    attributes: Tensor | None = None
    maps: Tensor | None = None

    def to(self, device: torch.device) -> Rows:
        """The same samples on another device."""
        score = None if self.score is None else self.score.to(device)
        told = None if self.attributes is None else self.attributes.to(device)
        return Rows(
            self.images.to(device), self.points.to(device), self.pseudo.to(device), self.sigma.to(device),
            self.p.to(device), score, told, None if self.maps is None else self.maps.to(device),
        )  # fmt: skip


class TrainSet:
    """Random access by row over several parts."""

    def __init__(self, parts: list[Part]) -> None:
        """Index the parts; images stay in their memory maps."""
        with warnings.catch_warnings():
            # The arrays are read-only memory maps and are only ever read.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            self._images = [torch.from_numpy(part.crops.images) for part in parts]
        self._points = [torch.from_numpy(part.crops.points) for part in parts]
        self._score = [_score(part.crops) for part in parts] if any(p.crops.score is not None for p in parts) else None
        self.columns = columns_of([part.crops for part in parts])
        self._told = [_told(part.crops, self.columns) for part in parts] if self.columns else None
        self._pseudo = torch.tensor([part.pseudo for part in parts])
        self._sigma = torch.tensor([part.sigma for part in parts])
        self._p = torch.tensor([part.p for part in parts])
        self.lengths = tuple(max(len(part), part.oversample) if len(part) else 0 for part in parts)
        self._part = torch.cat([torch.full((n,), i) for i, n in enumerate(self.lengths)])
        entries = [torch.arange(n) % max(len(part), 1) for n, part in zip(self.lengths, parts, strict=True)]
        self._entry = torch.cat(entries)
        self._row = torch.cat([_rows(part)[entry] for part, entry in zip(parts, entries, strict=True)])
        maps = [None if part.maps is None else torch.from_numpy(part.maps) for part in parts]
        self._maps = maps if any(one is not None for one in maps) else None

    def __len__(self) -> int:
        """Number of rows, repeats counted."""
        return len(self._row)

    def gather(self, rows: Tensor) -> Rows:
        """Samples of rows i64[B]."""
        part, row = self._part[rows], self._row[rows]
        score = None if self._score is None else _pick(self._score, part, row)
        told = None if self._told is None else _pick(self._told, part, row)
        maps = None if self._maps is None else _pick_maps(self._maps, part, self._entry[rows])
        return Rows(
            _pick(self._images, part, row), _pick(self._points, part, row), self._pseudo[part], self._sigma[part],
            self._p[part], score, told, maps,
        )  # fmt: skip


def columns_of(parts: list[Crops]) -> tuple[Column, ...]:
    """The attributes that any of the parts tells, each once."""
    return tuple(dict.fromkeys(c for crops in parts if crops.attributes for c in crops.attributes.columns))


def _told(crops: Crops, columns: tuple[Column, ...]) -> Tensor:
    """Values f32[N,A] of the crops in the order of `columns`; NaN where they tell none."""
    out = torch.full((len(crops), len(columns)), float("nan"))
    if crops.attributes is not None:
        for i, column in enumerate(crops.attributes.columns):
            out[:, columns.index(column)] = torch.from_numpy(crops.attributes.values[:, i])
    return out


def _rows(part: Part) -> Tensor:
    return torch.arange(len(part.crops)) if part.rows is None else torch.tensor(part.rows, dtype=torch.int64)


def _score(crops: Crops) -> Tensor:
    return torch.ones(crops.points.shape[:2]) if crops.score is None else torch.from_numpy(crops.score)


def _pick(arrays: list[Tensor], part: Tensor, row: Tensor) -> Tensor:
    """Entries [B,...] at `row` of the arrays of `part`, copied row by row: indexing crops would go byte by byte."""
    if len(arrays) == 1:
        return arrays[0].index_select(0, row)
    out = torch.empty(len(row), *arrays[0].shape[1:], dtype=arrays[0].dtype)
    for i, (which, where) in enumerate(zip(part.tolist(), row.tolist(), strict=True)):
        out[i] = arrays[which][where]
    return out


def _pick_maps(maps: list[Tensor | None], part: Tensor, entry: Tensor) -> Tensor:
    """Maps [B,C,h,w] at `entry` of the maps of `part`; 0 where that part has none."""
    like = next(one for one in maps if one is not None)
    out = torch.zeros(len(entry), *like.shape[1:], dtype=like.dtype)
    for i, (which, where) in enumerate(zip(part.tolist(), entry.tolist(), strict=True)):
        of_part = maps[which]
        if of_part is not None:
            out[i] = of_part[where]
    return out
