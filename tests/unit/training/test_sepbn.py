"""SepBN: the module against a slow one from the equations, and the properties of method specification 9.7."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmdeploy.errors import InputError
from tests.oracles import sepbn as oracle
from training.models.adaptive_pool import adaptive_max_pool
from training.models.sepbn import NOISE, Options, SepBN, begin_epoch

C = 8


def norm_of(channels: int = C) -> nn.BatchNorm2d:
    """A batch norm that has seen something."""
    torch.manual_seed(1)
    norm = nn.BatchNorm2d(channels)
    for value in (norm.weight, norm.bias, norm.running_mean):
        assert value is not None
        nn.init.normal_(value)
    assert norm.running_var is not None
    nn.init.uniform_(norm.running_var, 0.5, 2)
    return norm


def layer(**options: Any) -> SepBN:
    """A layer whose sets and attention differ clearly, at tau = 1."""
    made = SepBN(norm_of(), Options(**({"tau": 1.0, "anneal_epochs": 0} | options)))
    torch.manual_seed(2)
    for value in (made.gamma, made.beta):
        nn.init.normal_(value)
    for weight in made.attention.parameters():
        nn.init.normal_(weight, std=0.7)
    return made


def data(count: int = 4, side: int = 7) -> Tensor:
    torch.manual_seed(3)
    return torch.randn(count, C, side, side) * 2 + 1


def numbers(value: Tensor) -> Any:
    return value.detach().double().numpy()


@pytest.mark.parametrize("options", [{}, {"groups": 1, "sets": 2}, {"groups": 4, "sets": 5, "pool": 2, "tau": 7.0}])
@pytest.mark.parametrize("attention", ["grouped", "simple"])
@pytest.mark.parametrize("training", [True, False])
def test_the_layer_equals_the_slow_loop(options: dict[str, Any], attention: str, training: bool) -> None:
    made, x = layer(attention=attention, **options).train(training), data()
    weights = {name: numbers(value) for name, value in made.attention.state_dict().items()}
    size = made.options.pool
    logits = [oracle.simple_logits(s, weights) if attention == "simple" else oracle.grouped_logits(s, weights, size)
              for s in numbers(x)]  # fmt: skip
    pi = np.stack([oracle.softmax(a, made.options.tau) for a in logits])
    mean, var = made.track.running_mean, made.track.running_var
    assert mean is not None
    assert var is not None
    seen = oracle.statistics(numbers(x)) if training else (numbers(mean), numbers(var))
    wanted = oracle.sepbn(numbers(x), pi, numbers(made.gamma), numbers(made.beta), *seen)
    np.testing.assert_allclose(numbers(made.weights(x)), pi, atol=1e-5)
    np.testing.assert_allclose(numbers(made(x)), wanted, atol=5e-5)  # float32, summed in another order


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_pooling_is_the_adaptive_one_to_the_last_bit(size: int) -> None:
    torch.manual_seed(0)
    for height in (1, 2, 3, 4, 5, 7, 8, 14, 16, 31):
        for width in (height, 2, 9):
            x = torch.randn(2, 3, height, width)
            assert torch.equal(adaptive_max_pool(x, size), F.adaptive_max_pool2d(x, size))
    assert np.array_equal(numbers(adaptive_max_pool(x, size)[0]), oracle.pooled(numbers(x[0]), size))


def chosen(made: SepBN, k: int) -> SepBN:
    """An attention that gives set k all of the weight."""
    with torch.no_grad():
        last = made.attention.last
        assert isinstance(last, nn.Linear)
        last.weight.zero_()
        last.bias.zero_()
        last.bias.unflatten(0, (made.groups, -1))[:, k] = 200.0
    return made


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("k", [0, 2])
def test_one_hot_attention_is_the_batch_norm_of_that_set(k: int, training: bool) -> None:
    made, x = chosen(layer(), k).train(training), data()
    plain = norm_of().train(training)
    with torch.no_grad():
        plain.weight.copy_(made.gamma[k])
        plain.bias.copy_(made.beta[k])
    torch.testing.assert_close(made(x), plain(x), rtol=1e-5, atol=1e-5)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        torch.testing.assert_close(getattr(made.track, name), getattr(plain, name))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("sets", "noise"), [(1, True), (4, False)])
def test_equal_sets_or_a_single_one_are_plain_batch_norm(sets: int, noise: bool, training: bool) -> None:
    made, plain, x = layer(sets=sets).train(training), norm_of().train(training), data()
    with torch.no_grad():
        for value, of in ((made.gamma, plain.weight), (made.beta, plain.bias)):
            value.copy_(value[:1].expand_as(value) if noise else of)
        plain.weight.copy_(made.gamma[0])
        plain.bias.copy_(made.beta[0])
    torch.testing.assert_close(made(x), plain(x), rtol=1e-5, atol=1e-5)


def test_a_new_layer_is_the_given_norm_but_for_the_noise() -> None:
    made, plain, x = SepBN(norm_of(), Options()).eval(), norm_of().eval(), data()
    assert made.gamma.shape == made.beta.shape == (3, C)
    assert float((made.gamma - plain.weight).detach().std()) == pytest.approx(NOISE, rel=0.4)
    # about 9 values a set: tau = 30 leaves pi nearly uniform, and the noise of three sets nearly cancels
    assert float((made(x) - plain(x)).detach().abs().max()) < 6 * NOISE * float(x.abs().max() + 1)
    assert float((made.weights(x) - 1 / 3).detach().abs().max()) < 0.05


def test_weights_are_shares_of_each_group_and_even_at_a_high_temperature() -> None:
    made, x = layer(groups=4), data()
    pi = made.weights(x)
    assert pi.shape == (4, 4, 3)
    torch.testing.assert_close(pi.sum(dim=-1), torch.ones(4, 4))
    assert float(pi.detach().max()) > 0.9  # the temperature matters
    made.tau.fill_(1e6)
    torch.testing.assert_close(made.weights(x), torch.full((4, 4, 3), 1 / 3), atol=1e-4, rtol=0)


def test_statistics_are_shared_and_taken_once_a_forward() -> None:
    made, x = layer().train(), data()
    plain = norm_of().train()
    made(x)
    plain(x)
    assert made.track.num_batches_tracked == 1
    torch.testing.assert_close(made.track.running_var, plain.running_var)
    assert made.track.running_mean is not None
    assert made.track.running_mean.shape == (C,)
    assert [name for name, _ in made.track.named_parameters()] == []


def test_gradient_to_a_set_is_weighted_by_its_share() -> None:
    made, x = layer().train(), data()
    pi = made.weights(x).detach()
    made(x).sum().backward()
    made.track.eval()
    plain = F.batch_norm(x, None, None, training=True)
    for g, channels in enumerate((slice(0, C // 2), slice(C // 2, C))):
        wanted = torch.einsum("nk,nc->kc", pi[:, g], plain[:, channels].sum(dim=(-2, -1)))
        assert made.gamma.grad is not None
        assert made.beta.grad is not None
        torch.testing.assert_close(made.gamma.grad[:, channels], wanted, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(
            made.beta.grad[:, channels], (pi[:, g].sum(0) * 49).unsqueeze(1).expand(-1, C // 2), atol=1e-3, rtol=1e-4
        )


def test_the_temperature_falls_from_30_to_1_in_30_epochs_and_stays() -> None:
    made, seen = SepBN(norm_of(), Options()), []
    network = nn.Sequential(nn.Sequential(made))
    for _ in range(40):
        begin_epoch(network)
        seen.append(float(made.tau))
    assert seen == pytest.approx([30.0 - epoch for epoch in range(30)] + [1.0] * 10)


def test_the_temperature_travels_with_the_weights_and_goes_on_in_the_next_stage() -> None:
    made, other = SepBN(norm_of(), Options()), SepBN(norm_of(), Options())
    for _ in range(5):
        begin_epoch(made)
    other.load_state_dict(made.state_dict())
    for network in (made, other):
        begin_epoch(network)
        assert float(network.tau) == 25.0


@pytest.mark.parametrize(("tau", "epochs", "wanted"), [(5.0, 0, [5, 5, 5]), (9.0, 3, [9, 5, 1]), (4.0, 1, [1, 1, 1])])
def test_other_temperatures(tau: float, epochs: int, wanted: list[float]) -> None:
    made, seen = SepBN(norm_of(), Options(tau=tau, anneal_epochs=epochs)), []
    for _ in range(3):
        begin_epoch(made)
        seen.append(float(made.tau))
    assert seen == wanted


def test_groups_must_divide_the_channels() -> None:
    with pytest.raises(InputError, match=r"8 channels cannot be split into 3 groups.*network\.sepbn\.groups"):
        SepBN(norm_of(), Options(groups=3))


@pytest.mark.parametrize("attention", ["grouped", "simple"])
def test_in_eval_mode_a_sample_does_not_see_the_others(attention: str) -> None:
    made, x = layer(attention=attention).eval(), data(6)
    alone = torch.cat([made(x[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(made(x), alone, rtol=1e-5, atol=5e-5)  # one row is summed in another order


def test_hard_aggregation_takes_one_set_and_teaches_the_attention_nothing() -> None:
    soft, x = layer().train(), data()
    hard = copy.deepcopy(soft)
    hard.options = Options(hard=True, tau=1.0, anneal_epochs=0)
    torch.testing.assert_close(hard.weights(x), F.one_hot(soft.weights(x).argmax(-1), 3).float())
    for made, learns in ((soft, True), (hard, False)):
        made(x).square().sum().backward()
        assert [weight.grad is not None for weight in made.attention.parameters()] == [learns] * 6
        assert made.gamma.grad is not None


def test_frozen_tracking_normalises_by_the_running_statistics_while_the_rest_trains() -> None:
    made, x = layer().train(), data()
    made.track.eval()
    frozen = made(x)
    torch.testing.assert_close(frozen, made.eval()(x), rtol=1e-5, atol=1e-5)
    assert made.track.num_batches_tracked == 0


@pytest.mark.parametrize(("channels", "more"), [(64, 64 * 2 * 2 + 64 * 2 + 2 + 18 * 8 + 8 + 8 * 6 + 6)])
def test_extra_weights_are_those_of_the_specification(channels: int, more: int) -> None:
    plain = nn.BatchNorm2d(channels)
    made = SepBN(plain, Options())
    count = [sum(p.numel() for p in module.parameters()) for module in (made, plain)]
    assert count[0] - count[1] == more
