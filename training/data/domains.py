"""Domains of faces for the brute-force SepBN (Section III-A): near-frontal, left and right profile.

The paper splits AFLW by eye, after a t-SNE picture. Where head pose is known, `by_yaw` splits by it; else k-means over
shapes that are freed of place, size and turn, so that a shape's domain is the same in every crop and view of it.
"""

from __future__ import annotations

import torch
from torch import Tensor

PROFILE = 30.0  # degrees of yaw
ROUNDS = 50  # of k-means, at most


def by_yaw(yaw_degrees: Tensor) -> Tensor:
    """Domain i64[N] of yaw f32[N], degrees: 0 near-frontal, 1 left (below -30), 2 right (above 30)."""
    return (yaw_degrees < -PROFILE).long() + 2 * (yaw_degrees > PROFILE).long()


def normalised(points: Tensor) -> Tensor:
    """Shapes f32[N,K,2] in any frame -> mean 0, root mean square distance 1, main axis of the mean shape upright.

    The turn of each shape is the one that brings it nearest to the first round's mean shape; mirroring is not undone.
    """
    centred = points - points.mean(dim=1, keepdim=True)
    centred = centred / centred.square().sum(dim=-1).mean(dim=1).sqrt().clamp(min=1e-6).view(-1, 1, 1)
    return turned(centred, centred.mean(dim=0))


def turned(shapes: Tensor, model: Tensor) -> Tensor:
    """Shapes f32[N,K,2], each rotated about 0 to the least squared distance from model f32[K,2]."""
    dot = (shapes * model).sum(dim=(1, 2))
    cross = (shapes[..., 0] * model[:, 1] - shapes[..., 1] * model[:, 0]).sum(dim=1)
    angle = torch.atan2(cross, dot)
    cos, sin = angle.cos().view(-1, 1), angle.sin().view(-1, 1)
    x, y = shapes.unbind(dim=-1)
    return torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1)


def fit(points: Tensor, count: int = 3, seed: int = 0) -> Tensor:
    """Centres f32[count,K,2] of k-means over normalised shapes, the one with most members first.

    points: f32[N,K,2], any frame; shapes with a missing (NaN) point are left out. The start is k-means++ of `seed`.
    """
    whole = normalised(points[torch.isfinite(points).flatten(1).all(dim=1)])
    draw = torch.Generator().manual_seed(seed)
    centres = whole[torch.randint(len(whole), (1,), generator=draw)]
    while len(centres) < count:
        far = _distance(whole, centres).amin(dim=1).clamp(min=1e-12)
        centres = torch.cat([centres, whole[torch.multinomial(far, 1, generator=draw)]])
    for _ in range(ROUNDS):
        nearest = _distance(whole, centres).argmin(dim=1)
        before = centres
        centres = torch.stack([whole[nearest == k].mean(dim=0) if (nearest == k).any() else c
                               for k, c in enumerate(centres)])  # fmt: skip
        if torch.equal(before, centres):
            break
    order = torch.bincount(nearest, minlength=count).argsort(descending=True)
    return centres[order]


def of(points: Tensor, centres: Tensor) -> Tensor:
    """Domain i64[N] of shapes f32[N,K,2] (any frame): the nearest centre f32[M,K,2]; 0 where a point is missing."""
    model = centres.mean(dim=0)
    centred = points - points.mean(dim=1, keepdim=True)
    centred = centred / centred.square().sum(dim=-1).mean(dim=1).sqrt().clamp(min=1e-6).view(-1, 1, 1)
    domain = _distance(turned(centred, model).nan_to_num(), centres).argmin(dim=1)
    return torch.where(torch.isfinite(points).flatten(1).all(dim=1), domain, torch.zeros_like(domain))


def _distance(shapes: Tensor, centres: Tensor) -> Tensor:
    """Squared distances f32[N,M]."""
    return (shapes.unsqueeze(1) - centres).square().sum(dim=(-2, -1))
