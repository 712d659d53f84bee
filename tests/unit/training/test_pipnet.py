"""PIPNet: coding, merging, the three losses against slow loops, the network and its table of neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.oracles import pip as oracle
from training.codec import pip
from training.losses.pip_loss import Label, near_loss, offset_loss, score_loss
from training.models.end_to_end import EndToEnd
from training.models.pipnet import Config, PipNet

TINY = Config(
    backbone_options={"channels": [8, 8, 8, 8], "stem_type": "deep", "stem_width": 8, "out_indices": [0, 1, 2, 3]},
    neighbours=3,
)


def made_label(count: int, landmarks: int, neighbours: int, seed: int) -> Label:
    """Some landmarks outside the crop, some not annotated, tasks of all kinds."""
    torch.manual_seed(seed)
    near = torch.stack([torch.randperm(landmarks)[:neighbours] for _ in range(landmarks)])
    coords = torch.rand(count, landmarks, 2) * 1.3 - 0.15
    visible = torch.rand(count, landmarks) < 0.8
    return Label(coords, visible, near, torch.randint(3, (count,)), torch.rand(count) < 0.5)


@pytest.mark.parametrize("cells", [4, 8])
def test_clean_maps_give_the_points_back(cells: int) -> None:
    coords = torch.rand(2, 5, 2) * 1.2 - 0.1  # some outside the crop
    neighbours = torch.tensor([[1, 2], [0, 2], [3, 4], [4, 2], [3, 0]])
    cell, offset = pip.encode(coords, cells)
    assert ((cell >= 0) & (cell < cells)).all()
    score = torch.zeros(2, 5, cells, cells)
    for b in range(2):
        for k in range(5):
            score[b, k, cell[b, k, 1], cell[b, k, 0]] = 1.0
    near = coords[:, neighbours] * cells - cell.unsqueeze(2)
    wide = [t[..., None, None].expand(*t.shape, cells, cells) for t in (offset, near)]
    own, guesses = pip.decode(score, *wide)
    torch.testing.assert_close(own, coords)
    torch.testing.assert_close(guesses, coords[:, neighbours])
    torch.testing.assert_close(pip.merge(own, guesses, neighbours), coords)


def test_decoding_and_merging_equal_the_slow_loop() -> None:
    torch.manual_seed(0)
    neighbours = torch.tensor([[1, 2], [2, 0], [1, 0], [1, 2]])  # landmark 3 is nobody's neighbour
    score, offset, near = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 2, 3, 3), torch.randn(2, 4, 2, 2, 3, 3)
    own, guesses = pip.decode(score, offset, near)
    merged = pip.merge(own, guesses, neighbours)
    for b in range(2):
        wanted = oracle.points(score[b].numpy(), offset[b].numpy(), near[b].numpy(), neighbours.numpy())
        np.testing.assert_allclose(merged[b].numpy(), wanted[0], atol=1e-6)
        np.testing.assert_allclose(own[b].numpy(), wanted[1], atol=1e-6)
    torch.testing.assert_close(merged[:, 3], own[:, 3])


@pytest.mark.parametrize(("count", "landmarks", "neighbours", "cells"), [(3, 5, 2, 8), (2, 4, 3, 4), (1, 3, 1, 3)])
def test_losses_equal_the_slow_loop(count: int, landmarks: int, neighbours: int, cells: int) -> None:
    for seed in range(4):
        label = made_label(count, landmarks, neighbours, seed)
        sides = [cells, -(-cells // 2), -(-cells // 4)]
        scores = tuple(torch.randn(count, landmarks, side, side) for side in sides)
        offset = torch.randn(count, landmarks, 2, cells, cells)
        near = torch.randn(count, landmarks, neighbours, 2, cells, cells)
        where, seen = label.coords.numpy(), label.visible.numpy()
        whole = label.whole.tolist()
        wanted = (
            oracle.score_loss([s.numpy() for s in scores], where, seen, label.level.tolist()),
            oracle.offset_loss(offset.numpy(), where, seen, whole),
            oracle.near_loss(near.numpy(), where, seen, whole, label.neighbours.numpy()),
        )
        found = score_loss(scores, label), offset_loss(offset, label), near_loss(near, label)
        assert [float(value) for value in found] == pytest.approx(wanted, rel=1e-4)


def test_losses_of_a_batch_without_a_landmark_are_zero_and_finite() -> None:
    label = made_label(2, 4, 2, 0)._replace(visible=torch.zeros(2, 4, dtype=torch.bool))
    scores = tuple(torch.randn(2, 4, side, side, requires_grad=True) for side in (4, 2, 1))
    loss = score_loss(scores, label)
    loss.backward()
    assert loss == 0
    assert scores[0].grad is not None
    assert not scores[0].grad.any()


def test_neighbours_are_the_nearest_in_the_mean_face_the_nearest_first() -> None:
    face = torch.tensor([[0.0, 0], [1, 0], [3, 0], [7, 0], [float("nan"), 0]])
    assert pip.nearest(face, 2)[:4].tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]
    assert sorted(pip.nearest(face, 4)[4].tolist()) == [0, 1, 2, 3]
    for k, row in enumerate(pip.nearest(face, 4).tolist()):
        assert k not in row


def test_shapes_of_the_raw_outputs_and_coarse_maps_by_max_pooling() -> None:
    network = PipNet(TINY, 5).eval()
    x = torch.randn(2, 3, 128, 128)
    raw = network.raw(x)
    assert [tuple(s.shape) for s in raw.scores] == [(2, 5, 8, 8), (2, 5, 4, 4), (2, 5, 2, 2)]
    assert raw.offset.shape == (2, 5, 2, 8, 8)
    assert raw.near.shape == (2, 5, 3, 2, 8, 8)
    feature = network.backbone(x)[-1]
    blocks = torch.stack([feature[..., i::4, j::4] for i in range(4) for j in range(4)]).amax(dim=0)
    torch.testing.assert_close(raw.scores[2], network.score(blocks))
    main, own = network(x)
    torch.testing.assert_close(network.predict(x), main)
    wanted = oracle.points(
        *(t[0].detach().numpy() for t in (raw.scores[0], raw.offset, raw.near)), network.neighbours.numpy()
    )
    np.testing.assert_allclose(main[0].detach().numpy(), wanted[0], atol=1e-6)
    np.testing.assert_allclose(own[0].detach().numpy(), wanted[1], atol=1e-6)


def test_the_table_of_neighbours_travels_with_the_weights() -> None:
    network, other = PipNet(TINY, 5), PipNet(TINY, 5)
    network.place(torch.tensor([[0.0, 0], [9, 9], [1, 0], [9, 8], [0, 1]]))
    assert network.neighbours[0].tolist() == [2, 4, 3]
    assert not torch.equal(network.neighbours, other.neighbours)
    other.load_state_dict(network.state_dict())
    assert torch.equal(network.neighbours, other.neighbours)


def test_few_landmarks_have_fewer_neighbours() -> None:
    assert PipNet(TINY, 3).neighbours.tolist() == [[1, 2], [2, 0], [0, 1]]


def test_heads_stay_fp32_under_autocast() -> None:
    network = PipNet(TINY, 3).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        raw = network.raw(torch.randn(1, 3, 64, 64))
    assert {t.dtype for t in (*raw.scores, raw.offset, raw.near)} == {torch.float32}


def test_where_all_agree_the_spread_is_zero_and_the_score_one() -> None:
    network = PipNet(TINY, 3).eval()
    with torch.no_grad():
        for head in (network.score, network.offset, network.near):
            head.weight.zero_()
        network.offset.bias.copy_(torch.full((6,), 0.5))  # type: ignore[union-attr]  # made with one
        network.near.bias.copy_(torch.full((12,), 0.5))  # type: ignore[union-attr]
    crops = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    points, score, spread, _ = EndToEnd(network, "coords")(crops)
    torch.testing.assert_close(points, torch.full((1, 3, 2), 7.5))  # the middle of the first cell of 16 px
    assert spread.max() == 0
    assert score.min() == 1
