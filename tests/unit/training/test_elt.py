"""The ELT term of Eq. 2: zero for what is equivariant, positive for what is not, both passes get the gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from training.augment import geometry
from training.losses.elt import Reach, draw_maps, elt_error, elt_loss, warp_input
from training.models.end_to_end import normalise

SIZE = 48
REACH = Reach()


def blob(points: Tensor, sigma: float = 2.5) -> Tensor:
    """Normalised images f32[B,3,S,S] of one white Gaussian blob at points f32[B,1,2] on black."""
    axis = torch.arange(SIZE, dtype=torch.float32)
    profile = torch.exp(-(axis - points.transpose(1, 2)).square() / (2 * sigma**2))  # [B,2,S]
    image = 255 * profile[:, 1, :, None] * profile[:, 0, None, :]
    return normalise(image.unsqueeze(1).repeat(1, 3, 1, 1))


def centroid(x: Tensor) -> Tensor:
    """The intensity centroid f32[B,1,2] of each image, px."""
    light = (x * 0.229 + 0.485)[:, 0].clamp(min=0)
    axis = torch.arange(SIZE, dtype=torch.float32)
    total = light.sum(dim=(1, 2))
    return torch.stack([(light.sum(1) * axis).sum(1) / total, (light.sum(2) * axis).sum(1) / total], dim=-1).unsqueeze(
        1
    )


def places(count: int) -> Tensor:
    return 18 + 12 * torch.rand(count, 1, 2, generator=torch.Generator().manual_seed(3))


def maps_of(count: int) -> Tensor:
    torch.manual_seed(5)
    return draw_maps(count, SIZE, REACH)


def test_image_and_points_move_alike_on_a_rendered_dot() -> None:
    points, maps = places(20), maps_of(20)
    found = centroid(warp_input(blob(points), maps))
    torch.testing.assert_close(found, geometry.transform(maps, points), rtol=0, atol=0.05)  # px, bilinear


def test_it_is_nearly_zero_for_an_equivariant_localiser() -> None:
    points, maps = places(20), maps_of(20)
    x = blob(points)
    loss = elt_loss(centroid(x), centroid(warp_input(x, maps)), maps, SIZE)
    assert float(loss) / SIZE**2 < 1e-4  # crop widths^2, the specification's unit
    assert float(loss) < 0.01  # px^2; measured 0.0006


def test_it_is_positive_for_a_constant_answer() -> None:
    maps = maps_of(20)
    constant = torch.full((20, 1, 2), 12.0)
    moved = geometry.transform(maps, constant)
    wanted = (moved - constant).square().sum(-1).mean()
    torch.testing.assert_close(elt_loss(constant, constant, maps, SIZE), wanted)
    assert float(wanted) > 1


def test_the_gradient_reaches_both_passes() -> None:
    a, b = torch.full((4, 2, 2), 20.0, requires_grad=True), torch.full((4, 2, 2), 22.0, requires_grad=True)
    elt_loss(a, b, maps_of(4), SIZE).backward()
    assert a.grad is not None
    assert b.grad is not None
    assert (a.grad != 0).any()
    assert (b.grad != 0).any()


def test_points_that_leave_the_frame_do_not_count() -> None:
    shift = torch.tensor([[[1.0, 0.0, 10.0], [0.0, 1.0, 0.0]]])
    points = torch.tensor([[[5.0, 5.0], [SIZE - 5.0, 5.0]]])
    error, inside = elt_error(points, points, shift, SIZE)
    assert inside.tolist() == [[True, False]]
    assert error.tolist() == [[100.0, 100.0]]
    assert float(elt_loss(points[:, 1:], points[:, 1:], shift, SIZE)) == 0.0


def test_what_comes_from_outside_is_black() -> None:
    shift = torch.tensor([[[1.0, 0.0, 10.0], [0.0, 1.0, 0.0]]])
    moved = warp_input(normalise(torch.full((1, 3, SIZE, SIZE), 255.0)), shift)
    torch.testing.assert_close(moved[..., :9], normalise(torch.zeros(1, 3, SIZE, 9)), rtol=0, atol=1e-4)
    torch.testing.assert_close(
        moved[..., 12:], normalise(torch.full((1, 3, SIZE, SIZE - 12), 255.0)), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("reach", [Reach(), Reach(rotate=90.0, translate=0.3, scale=0.4), Reach(rotate=0, scale=0)])
def test_maps_stay_in_their_ranges(reach: Reach) -> None:
    torch.manual_seed(0)
    maps = draw_maps(400, SIZE, reach)
    zoom = torch.linalg.det(maps[:, :, :2]).sqrt()
    angle = torch.rad2deg(torch.atan2(maps[:, 1, 0], maps[:, 0, 0]))
    centre = torch.full((400, 1, 2), (SIZE - 1) / 2)
    shift = (geometry.transform(maps, centre) - centre).abs()
    assert float((zoom - 1).abs().max()) <= reach.scale + 1e-5
    assert float(angle.abs().max()) <= reach.rotate + 1e-3
    assert float(shift.max()) <= reach.translate * SIZE + 1e-3
    assert float(shift.max()) >= 0.9 * reach.translate * SIZE
    assert float(angle.abs().max()) >= 0.9 * reach.rotate
