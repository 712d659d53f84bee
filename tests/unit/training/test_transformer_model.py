"""TF: parameter count of the spec, heads, position encoding, dynamic query, per-landmark projection."""

from __future__ import annotations

import math

import pytest
import torch

from training.codec import CODECS
from training.models import count_parameters
from training.models.end_to_end import EndToEnd
from training.models.transformer import Config, PerLandmark, Transformer, sine_position

TINY = Config(width=16, heads=2, layers=2, feed_forward=32)


def test_tf_r18_has_the_specified_number_of_parameters() -> None:
    assert count_parameters(Transformer(Config(), 68)) == 40_406_340


def test_coordinates_of_both_heads_and_predict_is_the_main_one() -> None:
    network = Transformer(TINY, 5).eval()
    x = torch.randn(2, 3, 64, 64)
    main, aux = network(x)
    assert main.shape == aux.shape == (2, 5, 2)
    torch.testing.assert_close(network.predict(x), main)
    assert not torch.equal(main, aux)


def test_the_head_is_fp32_under_autocast() -> None:
    network = Transformer(TINY, 5).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        main, _ = network(torch.randn(1, 3, 64, 64))
    assert main.dtype == torch.float32


def test_position_encoding_equals_the_equation() -> None:
    found = sine_position(3, 4, 8, torch.device("cpu")).reshape(3, 4, 8)
    for y in range(3):
        for x in range(4):
            for axis, (place, count) in enumerate(((y, 3), (x, 4))):
                angle = (place + 1) / count * 2 * math.pi
                for i in range(2):
                    rate = 1e4 ** (2 * i / 4)
                    pair = found[y, x, axis * 4 + 2 * i : axis * 4 + 2 * i + 2]
                    assert pair.tolist() == pytest.approx([math.sin(angle / rate), math.cos(angle / rate)], abs=1e-5)


def test_each_landmark_has_a_projection_of_its_own() -> None:
    layer, x = PerLandmark(3, 4), torch.randn(2, 3, 4)
    for k in range(3):
        torch.testing.assert_close(layer(x)[:, k], x[:, k] @ layer.weight[k] + layer.bias[k])


def test_the_first_target_depends_on_the_image() -> None:
    network = Transformer(TINY, 5).eval()
    torch.nn.init.normal_(network.start.weight, std=1.0)
    with torch.no_grad():
        network.query.zero_()
        a, b = (network(x)[0] for x in (torch.randn(1, 3, 64, 64), torch.randn(1, 3, 64, 64)))
    assert (a - b).abs().max() > 1e-4


def test_coords_are_crop_widths_from_edge_to_edge_and_come_back() -> None:
    codec = CODECS["coords"]
    points = torch.tensor([[[-0.5, 63.5], [31.5, 80.0]]])
    coded = codec.encode(points, torch.ones(1), 1, 64)
    assert coded[0, 0].tolist() == [0.0, 1.0]
    assert coded[0, 1, 0] == 0.5
    torch.testing.assert_close(codec.decode(coded, 64), points)


def test_end_to_end_gives_points_in_crop_px_and_the_heads_distance_as_spread() -> None:
    network = Transformer(TINY, 5).eval()
    crops = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    points, score, spread, nnm = EndToEnd(network, "coords")(crops)
    assert points.shape == (2, 5, 2)
    assert ((score > 0) & (score <= 1)).all()
    assert torch.isnan(nnm).all()
    with torch.no_grad():
        network.aux.load_state_dict(network.main.state_dict())
    assert EndToEnd(network, "coords")(crops)[2].abs().max() < 1e-3
    assert (spread > 0).all()
