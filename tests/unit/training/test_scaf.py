"""3FabRec and SCAF: networks, shapes, numbers of weights, codec, losses; training is in test_fabrec."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lmdeploy.errors import InputError
from tests.oracles import scaf as oracle
from training.codec import CODECS, scaf
from training.losses.adversarial import deceive, tell
from training.losses.reconstruction import reconstruction, structure
from training.models import build, count_parameters
from training.models.adversary import Adversarial, Config, ImageCritic, LatentCritic, Turn
from training.models.autoencoder import MEAN, Encoder, Generator, own_scale, to_rgb
from training.models.end_to_end import normalise
from training.models.scaf import FabRecConfig, Multiscale, Scaf, ScafConfig, scaf_of

TINY = {"size": 32, "widths": (8, 12, 16), "blocks": 1, "latent": 6}


def tiny(kind: str = "scaf", landmarks: int = 5, **fields: object) -> Scaf:
    torch.manual_seed(0)
    config = {"fabrec": FabRecConfig, "scaf": ScafConfig}[kind]
    return Scaf(config.model_validate(TINY | fields), landmarks)


def test_the_published_networks_have_the_published_numbers_of_weights() -> None:
    with torch.device("meta"):
        network = Scaf(ScafConfig(), 68)
        plain = Scaf(FabRecConfig(), 68)
        critics = LatentCritic(99, Config()), ImageCritic(Config())
    assert count_parameters(network.encoder) == oracle.encoder() == 11_379_491
    assert count_parameters(network.generator) == oracle.generator() == 10_868_096
    assert count_parameters(critics[0]) == oracle.latent_critic() == 1_102_001
    assert count_parameters(critics[1]) == oracle.image_critic() == 1_743_744
    itls = sum(w * w * 9 for w in (256, 128, 64, 64))
    assert count_parameters(plain) == 11_379_491 + 10_868_096 + itls + 64 * 68 * 16
    skips = sum(oracle.multiscale(w) for w in (256, 128, 64, 64))
    assert count_parameters(network) - count_parameters(plain) == skips


def test_shapes_at_every_published_layer_and_the_four_skip_pairs() -> None:
    with torch.device("meta"):
        network = Scaf(ScafConfig(), 98)
    x = torch.zeros(2, 3, 256, 256, device="meta")
    z, features = network.encoder(x)
    assert z.shape == (2, 99)
    cells = [(64, 64), (64, 32), (128, 16), (256, 8), (512, 4)]
    assert [tuple(f.shape) for f in features] == [(2, c, s, s) for c, s in cells]
    feature = network.generator.begin(z)
    assert feature.shape == (2, 512, 4, 4)
    for i, (width, side) in enumerate([(256, 8), (128, 16), (64, 32), (64, 64), (64, 128)]):
        feature = network.generator.layers[i](feature)
        assert feature.shape == (2, width, side, side)
        if i < 4:
            skip = network.skips[i](features[3 - i])
            assert network.itls[i](feature).shape == skip.shape == feature.shape
    assert network.generator(z).shape == x.shape
    assert network.head(torch.zeros(2, 64, 64, 64, device="meta")).shape == (2, 98, 128, 128)
    assert Adversarial(network.encoder, network.generator, Config()).to("meta").image_critic(x).shape == (2, 1)


@pytest.mark.parametrize(("size", "widths"), [(64, (8, 8, 8, 8)), (96, (8, 8, 8, 8)), (128, (8, 8, 8, 8, 8))])
def test_smaller_networks_keep_the_stride_and_give_the_image_back_at_its_size(size: int, widths: tuple[int]) -> None:
    network = tiny(size=size, widths=widths).eval()
    network.cfg.check(size)
    x = torch.randn(1, 3, size, size)
    assert network.predict(x).shape == (1, 5, size // 2, size // 2)
    assert network.reconstruct(x).shape == x.shape
    assert network.cfg.unit(size) == 2


def test_a_size_that_does_not_fit_is_refused_with_what_to_set() -> None:
    with pytest.raises(InputError, match=r"crop\.size 128"):
        ScafConfig().check(128)
    with pytest.raises(InputError, match="multiple of 64"):
        ScafConfig(size=96).check(96)
    with pytest.raises(InputError, match=r"network\.kind = 'fabrec'"):
        scaf_of(tiny("scaf"), "fabrec")


class Nothing(nn.Module):
    """A skip connection that gives zero."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x)


def test_with_zero_skips_scaf_is_3fabrec() -> None:
    network, plain = tiny("scaf").eval(), tiny("fabrec").eval()
    plain.load_state_dict(network.state_dict(), strict=False)
    x = torch.randn(2, 3, 32, 32)
    assert not torch.allclose(network.predict(x), plain.predict(x))
    network.skips = nn.ModuleList(Nothing() for _ in network.skips)
    torch.testing.assert_close(network.predict(x), plain.predict(x))


def test_without_transfer_layers_the_maps_are_the_plain_generator_s() -> None:
    """ITLs that pass everything on and the generator's own last layers as the head give its own feature."""
    network = tiny("fabrec").eval()
    for itl in network.itls:
        assert isinstance(itl, nn.Conv2d)
        nn.init.dirac_(itl.weight)
    x = torch.randn(2, 3, 32, 32)
    z, _ = network.encoder(own_scale(x))
    feature = network.generator.begin(z)
    for layer in network.generator.layers[:2]:
        feature = layer(feature)
    torch.testing.assert_close(network.predict(x), network.head(feature))
    assert len(network.generator.layers) == 3  # the last one is left out


def test_the_multiscale_block_keeps_shape_and_is_the_identity_with_zero_convolutions() -> None:
    block = Multiscale(12).train()
    x = torch.randn(2, 12, 6, 6)
    assert block(x).shape == x.shape
    assert not torch.allclose(block(x), x)
    kept = x.clone()
    for part in (block.a, block.b, block.c):
        assert isinstance(part[2], nn.Conv2d)
        nn.init.zeros_(part[2].weight)
    torch.testing.assert_close(block(x), kept)


def test_batch_norm_of_the_auto_encoder_stays_in_evaluation_mode_and_that_of_the_skips_learns() -> None:
    network = tiny().train()
    modes = {name: m.training for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert modes
    for name, training in modes.items():
        assert training == name.startswith("skips."), name
    before = {name: value.clone() for name, value in network.named_buffers() if not name.startswith("skips.")}
    network(torch.randn(4, 3, 32, 32))
    for name, value in before.items():
        assert torch.equal(dict(network.named_buffers())[name], value)
    around = Adversarial(network.encoder, network.generator, Config(hidden=8, widths=(8,)))
    around.train()
    assert all(m.training for m in around.modules())  # but learns while the auto-encoder is trained
    network.train()
    assert not network.encoder.training


def test_scales_of_the_auto_encoder_and_back() -> None:
    images = torch.randint(0, 256, (2, 8, 8, 3), dtype=torch.uint8)
    x = own_scale(normalise(images.permute(0, 3, 1, 2).float()))
    wanted = images.permute(0, 3, 1, 2) / 255 - torch.tensor(MEAN).view(1, 3, 1, 1)
    torch.testing.assert_close(x, wanted, atol=1e-6, rtol=0)
    assert torch.equal(to_rgb(x), images)


def test_the_codec_finds_every_point_to_half_a_cell_without_bias() -> None:
    points = torch.rand(2, 100, 2, generator=torch.Generator().manual_seed(5)) * 255  # up to the border
    maps = scaf.encode(points, torch.full((2,), 7.0), 128, 2)
    found = scaf.decode(maps, 2)
    apart = found - points
    inside = ((points > 10) & (points < 244)).all(dim=-1)
    assert float(apart[inside].abs().max()) <= 1.0 + 1e-4
    assert float(apart.abs().max()) <= 5.0 + 1e-4  # two cells more within four cells of the border
    assert float(apart[inside].mean().abs()) < 0.1  # uniform in [-1, 1]: three standard errors of 400 values are 0.09
    assert torch.equal(found, found.round())


def test_published_targets_have_peak_one_and_are_35_cells_wide() -> None:
    maps = CODECS["scaf"].encode(torch.tensor([[[128.0, 100.0]]]), torch.tensor([7.0]), 128, 2)[0, 0]
    assert maps.max() == maps[50, 64] == 1
    ys, xs = torch.nonzero(maps, as_tuple=True)
    assert (int(xs.min()), int(xs.max()), int(ys.min()), int(ys.max())) == (64 - 17, 64 + 17, 50 - 17, 50 + 17)
    assert float(maps[50, 64 + 7]) == pytest.approx(np.exp(-0.5))


@pytest.mark.parametrize("seed", [0, 1])
def test_decoding_equals_the_slow_loop_at_borders_too(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    maps = torch.randn(2, 3, 12, 12, generator=draw)
    maps[0, 0, 0, :4] += 30  # a peak in a corner
    found = scaf.decode(maps, 2)
    for b in range(2):
        for k in range(3):
            x, y = oracle.decode(maps[b, k].numpy())
            assert found[b, k].tolist() == [2 * x, 2 * y]


@pytest.mark.parametrize("likeness", [0.0, 0.5, 1.0])
def test_structural_loss_equals_the_slow_loop(likeness: float) -> None:
    draw = np.random.default_rng(3)
    a = draw.uniform(-0.5, 0.5, (9, 9)).astype(np.float32)
    b = (likeness * a + (1 - likeness) * draw.uniform(-0.5, 0.5, (9, 9))).astype(np.float32)
    found = structure(*(torch.from_numpy(v).expand(2, 3, 9, 9) for v in (a, b)))
    assert float(found) == pytest.approx(60 * (1 - oracle.contrast_structure(a, b)), rel=1e-4, abs=1e-3)


def test_structural_loss_sees_shape_and_not_brightness_away_from_the_border() -> None:
    x = torch.rand(1, 3, 48, 48) - 0.5
    flat = torch.zeros_like(x)
    assert float(structure(x, x)) == pytest.approx(0, abs=1e-3)
    assert float(structure(flat, x)) > 30
    assert float(structure(-x, x)) > float(structure(flat, x))


def test_reconstruction_is_in_grey_levels() -> None:
    x = torch.zeros(1, 3, 2, 2)
    assert float(reconstruction(x + 0.1, x)) == pytest.approx(25.5)


def test_adversarial_losses_equal_the_formula_and_stay_finite() -> None:
    true, false = torch.tensor([[0.3], [-1.2]]), torch.tensor([[2.0], [0.1]])
    assert float(tell(true, false)) == pytest.approx(oracle.tell([0.3, -1.2], [2.0, 0.1]), rel=1e-5)
    assert float(deceive(false)) == pytest.approx(
        oracle.tell([2.0, 0.1], [-100.0]), rel=1e-5
    )  # what is left of `tell` where the discriminator is sure of the false ones
    assert float(tell(-1000 * torch.ones(1, 1), 1000 * torch.ones(1, 1))) == 2000


def gradients_of(loss: torch.Tensor, module: nn.Module) -> set[str]:
    """Which of the four parts a loss reaches."""
    module.zero_grad(set_to_none=True)
    loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]  # torch does not type it
    return {
        name.split(".")[0] for name, w in module.named_parameters() if w.grad is not None and bool(w.grad.abs().sum())
    }


def test_every_loss_reaches_its_own_player_alone() -> None:
    cfg = ScafConfig.model_validate(TINY)
    module = Adversarial(Encoder(cfg), Generator(cfg), Config(hidden=8, widths=(8, 8)))
    x, prior = torch.randn(4, 3, 32, 32), torch.randn(4, 6)
    played = module(x, prior, Turn(True, True, True, True))
    assert gradients_of(tell(played.prior, played.code), module) == {"latent_critic"}
    assert gradients_of(tell(played.photo, played.fake), module) == {"image_critic"}
    assert gradients_of(deceive(played.code_deceives), module) == {"encoder"}
    assert gradients_of(deceive(played.fake_deceives), module) == {"encoder", "generator"}
    assert gradients_of(reconstruction(played.image, x), module) == {"encoder", "generator"}
    torch.testing.assert_close(played.fake, played.fake_deceives)  # the same discriminator judges both
    assert module(x, prior, Turn(False, False, False, False))[1:] == (None,) * 6


def test_build_knows_both_kinds() -> None:
    assert isinstance(build(FabRecConfig.model_validate(TINY), 3), Scaf)
    assert len(tiny("fabrec").skips) == 0
    assert len(tiny("scaf").skips) == 2
