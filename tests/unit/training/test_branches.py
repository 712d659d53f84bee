"""CNT's network: each sample trains its own branch and the shared backbone, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lmdeploy.errors import InputError
from lmdeploy.parts import Part, named, place
from tests.unit.training.conftest import SMALL_RESNET, tiny_network
from training.losses.sample_mean import sample_mean
from training.methods.cross_protocol import part_of
from training.models import Network, build, count_parameters
from training.models.branches import Branch, Branches, Config, OwnNorm
from training.models.narrow import narrow, shared
from training.models.sepbn import Options, SepBN

PARTS = place({label: named(label)[1] for label in ("face5", "aflw19", "cofw29")})
SIZES = (19, 29, 5)  # in the order of the labels
FIELDS: dict[str, Any] = {"backbone": "resnet18", "backbone_options": SMALL_RESNET, "width": 12}


def network_of(seed: int = 0, **fields: Any) -> Branches:
    torch.manual_seed(seed)
    made = build(Config.model_validate(FIELDS | {"points": SIZES} | fields), sum(SIZES))
    assert isinstance(made, Branches)
    return made


def routed(network: Branches, part: list[int], x: torch.Tensor) -> torch.Tensor:
    """L1 of the mixed batch against targets that are annotated in each sample's own block alone."""
    main, aux = network(x, torch.tensor(part))
    seen = torch.zeros(len(part), sum(SIZES), dtype=torch.bool)
    for row, d in enumerate(part):
        seen[row, PARTS[d].rows] = True
    assert part_of(seen, PARTS).tolist() == part
    error = (main - 0.3).abs().mean(-1) + (aux - 0.3).abs().mean(-1)
    return sample_mean(error, seen)


@pytest.mark.parametrize("d", [0, 1, 2])
def test_a_sample_of_a_data_set_has_no_gradient_in_other_branches(d: int) -> None:
    network = network_of()
    routed(network, [d, d, d], torch.randn(3, 3, 64, 64)).backward()
    for i, branch in enumerate(network.branches):
        grown = [weight.grad is not None and bool(weight.grad.any()) for weight in branch.parameters()]
        assert all(grown) if i == d else not any(grown)
    first = next(network.backbone.parameters())
    assert first.grad is not None
    assert first.grad.any()


def test_in_training_a_sample_sees_no_other_data_set_s_samples_in_its_branch() -> None:
    """In eval the batch never matters; in training it does, but only through the backbone's batch norm."""
    network = network_of().train()
    network.backbone.eval()
    x, part = torch.randn(6, 3, 64, 64), [0, 1, 0, 2, 1, 0]
    with torch.no_grad():
        mixed, _ = network(x, torch.tensor(part))
        for d, protocol in enumerate(PARTS):
            mine = [row for row, other in enumerate(part) if other == d]
            alone, _ = network(x[mine], torch.full((len(mine),), d))
            torch.testing.assert_close(mixed[mine][:, protocol.rows], alone[:, protocol.rows])
            assert not mixed[mine][
                :, [k for k in range(53) if not protocol.rows.start <= k < protocol.rows.stop]
            ].any()


def test_in_eval_all_branches_answer_as_each_does_by_itself() -> None:
    network = network_of().eval()
    x = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        main, aux = network(x)
        for d, protocol in enumerate(PARTS):
            own, second = network(x, torch.full((4,), d))
            torch.testing.assert_close(main[:, protocol.rows], own[:, protocol.rows])
            torch.testing.assert_close(aux[:, protocol.rows], second[:, protocol.rows])
    assert main.shape == (4, 53, 2)


def test_the_second_head_trains_nothing_but_itself() -> None:
    network = network_of()
    _, aux = network(torch.randn(4, 3, 64, 64), torch.tensor([0, 0, 1, 1]))
    aux.square().sum().backward()
    grown = {name for name, weight in network.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert grown == {f"branches.{d}.aux.{name}" for d in (0, 1) for name in ("weight", "bias")}


def test_own_norm_is_batch_norm_and_takes_a_single_value() -> None:
    own, usual = OwnNorm(3), torch.nn.BatchNorm2d(3)
    for _ in range(2):
        x = torch.randn(4, 3, 2, 2) * 3 + 1
        torch.testing.assert_close(own(x), usual(x))
    torch.testing.assert_close(own.mean, usual.running_mean)
    torch.testing.assert_close(own.var, usual.running_var)
    one = torch.randn(1, 3, 1, 1)
    torch.testing.assert_close(own(one), usual.eval()(one))  # a batch norm in training raises here
    torch.testing.assert_close(own.eval()(x), usual(x))


@pytest.mark.parametrize("label", ["aflw19", "cofw29", "face5"])
@pytest.mark.parametrize("fields", [FIELDS | {"kind": "branches", "points": SIZES}, {"kind": "heatmap"}])
def test_the_network_without_the_other_branches_answers_as_before(label: str, fields: dict[str, Any]) -> None:
    torch.manual_seed(1)
    network: Network = build(tiny_network(fields), 53).eval()
    small = narrow(network, PARTS, label)
    part: Part = next(part for part in PARTS if part.label == label)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(small.predict(x), network.predict(x)[:, part.rows])
    own = [f"{name}." for name in ("branches", "main", "aux") if hasattr(small, name)]
    for name, _ in small.named_parameters():
        assert name.startswith(shared(small)) != name.startswith(tuple(own))


def test_narrow_refuses_a_network_without_branches() -> None:
    network = build(tiny_network({"kind": "pipnet", "neighbours": 2}), 53)
    with pytest.raises(InputError, match="pipnet network has no branches"):
        narrow(network, PARTS, "face5")


def test_published_size_a_flattened_map_and_two_linear_layers() -> None:
    """2048 x 2048 convolution and its norm, 8192 -> 1024 -> 2 x 19, and the second head."""
    with torch.device("meta"):
        branch = Branch(Config(backbone="vanilla_cnn", cells=2), 2048, 19)
    published = 2048 * 2048 + 2 * 2048 + 8192 * 1024 + 1024 + 1024 * 38 + 38
    assert count_parameters(branch) == published + 1024 * 38 + 38


@pytest.mark.parametrize(("cells", "size", "match"), [(2, 64, None), (2, 96, "3 cells wide"), (0, 96, None)])
def test_the_side_of_the_last_map_is_checked_before_training(cells: int, size: int, match: str | None) -> None:
    cfg = Config.model_validate(FIELDS | {"cells": cells, "hidden": 8})
    if match is None:
        cfg.check(size)
        assert network_of(cells=cells, hidden=8).eval()(torch.zeros(1, 3, size, size))[0].shape == (1, 53, 2)
        return
    with pytest.raises(InputError, match=match):
        cfg.check(size)


def test_points_that_are_not_the_landmarks_are_refused() -> None:
    with pytest.raises(InputError, match="leave them to the run"):
        build(Config.model_validate(FIELDS | {"points": (5, 6)}), 12)


def test_every_sample_counts_alike_however_many_landmarks_it_has() -> None:
    error = torch.tensor([[1.0, 3.0, 9.0, 9.0], [9.0, 9.0, 9.0, 4.0], [9.0, 9.0, 9.0, 9.0]])
    mask = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]).bool()
    assert sample_mean(error, mask).item() == pytest.approx((2.0 + 4.0) / 2)


def test_separable_batch_norms_stand_in_the_shared_backbone_alone() -> None:
    network = network_of(sepbn=Options(places="all", sets=2, pool=1))
    assert sum(isinstance(module, SepBN) for module in network.backbone.modules()) >= 8
    assert not any(isinstance(module, SepBN) for module in network.branches.modules())
    main, _ = network.eval()(torch.zeros(2, 3, 64, 64))
    assert main.shape == (2, 53, 2)
    network.cfg.check(64)
