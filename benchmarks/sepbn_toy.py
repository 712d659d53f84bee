"""Three domains that differ by an affine shift of the picture: SepBN against BN (method specification, section 14).

    python -m benchmarks.sepbn_toy [--quick] [--seeds N]

A sample is a bright blob on noise; what is to be found is its centre. A picture of domain d is a x + b with a domain's
own contrast a and brightness b for each channel, so that one gamma and beta cannot undo all three. The same small
network is trained with BN and with SepBN, on the same pictures in the same order. Written down before it was run:
SepBN's error is below BN's, and the attention separates the domains (mutual information above 0).

Figures: sepbn_toy_nme_bn, sepbn_toy_nme_sepbn (mean distance, per cent of the picture's side, mean over the seeds),
sepbn_toy_ratio (SepBN over BN), sepbn_toy_information (bits between domain and the likeliest set of the layer that
knows most about it; 1.58 is all there is), sepbn_toy_information_by_chance (the same with domains shuffled).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.record import print_figures, write_result
from training.models.convert_bn import convert
from training.models.sepbn import Options, SepBN, begin_epoch
from training.models.vanilla_cnn import VanillaCnn

DOMAINS = 3
SHIFTS = ((1.0, 0.0), (-0.8, 0.7), (0.35, -0.9))  # contrast and brightness: plain, inverted, dim


@dataclass(frozen=True, slots=True)
class Size:
    """Pictures to train and test on, their side in px, epochs, batch and the network's channels."""

    train: int
    test: int
    side: int
    epochs: int
    batch: int
    channels: tuple[int, ...]


FULL = Size(train=1200, test=600, side=32, epochs=60, batch=30, channels=(8, 16, 32))
QUICK = Size(train=300, test=300, side=16, epochs=40, batch=30, channels=(8, 16))


class Pictures(NamedTuple):
    """x f32[N,3,S,S], points f32[N,2] in picture widths, domain i64[N]."""

    x: Tensor
    points: Tensor
    domain: Tensor


def draw(count: int, side: int, seed: int) -> Pictures:
    """Pictures of all domains alike."""
    torch.manual_seed(seed)
    domain = torch.arange(count) % DOMAINS
    points = 0.2 + 0.6 * torch.rand(count, 2)
    axis = (torch.arange(side) + 0.5) / side
    profile = torch.exp(-((axis - points.unsqueeze(-1)).square()) / (2 * 0.08**2))  # [N,2,S]
    blob = profile[:, 1, :, None] * profile[:, 0, None, :]
    tint = 0.6 + 0.4 * torch.rand(count, 3, 1, 1)
    x = blob.unsqueeze(1) * tint + 0.15 * torch.randn(count, 3, side, side)
    shift = torch.tensor(SHIFTS)[domain]
    return Pictures(x * shift[:, 0].view(-1, 1, 1, 1) + shift[:, 1].view(-1, 1, 1, 1), points, domain)


class Net(nn.Module):
    """A short Vanilla CNN and a linear layer to one point."""

    def __init__(self, size: Size, options: Options | None) -> None:
        """With separable batch norms where options are given."""
        super().__init__()
        self.trunk = VanillaCnn(size.channels, hidden=32, size=size.side)
        self.head = nn.Linear(32, 2)
        if options is not None:
            convert(self.trunk, options)

    def forward(self, x: Tensor) -> Tensor:
        """Points f32[N,2], picture widths."""
        out: Tensor = self.head(self.trunk(x))
        return out


def trained(size: Size, options: Options | None, seed: int) -> Net:
    """Adam, cosine, L1; the same pictures in the same order for both."""
    data = draw(size.train, size.side, seed)
    torch.manual_seed(seed)
    net = Net(size, options)
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, size.epochs)
    order = torch.Generator().manual_seed(seed)
    for _ in range(size.epochs):
        begin_epoch(net.train())
        for rows in torch.split(torch.randperm(size.train, generator=order), size.batch):
            loss = F.l1_loss(net(data.x[rows]), data.points[rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch gives no type
            optimiser.step()
        falling.step()
    return net.eval()


@torch.no_grad()
def error(net: Net, data: Pictures) -> float:
    """Mean distance, per cent of the picture's side."""
    return 100 * float((net(data.x) - data.points).norm(dim=1).mean())


@torch.no_grad()
def choices(net: Net, x: Tensor) -> list[Tensor]:
    """The likeliest set i64[N] of every group of every separable layer."""
    found: list[Tensor] = []
    hooks = [
        layer.register_forward_pre_hook(lambda module, given: found.extend(module.weights(given[0]).argmax(-1).T))
        for layer in net.modules()
        if isinstance(layer, SepBN)
    ]
    net(x)
    for hook in hooks:
        hook.remove()
    return found


def information(a: Tensor, b: Tensor) -> float:
    """Mutual information in bits of two labellings i64[N]."""
    joint = torch.zeros(int(a.max()) + 1, int(b.max()) + 1, dtype=torch.float64)
    joint.index_put_((a, b), torch.ones(len(a), dtype=torch.float64), accumulate=True)
    p = joint / joint.sum()
    alone = p.sum(dim=1, keepdim=True) * p.sum(dim=0, keepdim=True)
    seen = p > 0
    return float((p[seen] * (p[seen] / alone[seen]).log2()).sum())


def run(size: Size, seeds: list[int]) -> dict[str, list[float]]:
    """Both networks' errors and the attention's information, seed by seed."""
    found: dict[str, list[float]] = {"bn": [], "sepbn": [], "information": [], "by_chance": []}
    for seed in seeds:
        test = draw(size.test, size.side, seed + 1000)
        plain, ours = (trained(size, options, seed) for options in (None, Options()))
        chosen = choices(ours, test.x)
        shuffled = test.domain[torch.randperm(size.test, generator=torch.Generator().manual_seed(seed))]
        found["bn"].append(error(plain, test))
        found["sepbn"].append(error(ours, test))
        found["information"].append(max(information(c, test.domain) for c in chosen))
        found["by_chance"].append(max(information(c, shuffled) for c in chosen))
    return found


def main() -> None:
    """Train, print the figures, and in full mode write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed, under 50 s on 2 cores; writes no record")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    seeds = list(range(1 if given.quick else given.seeds))
    found = run(QUICK if given.quick else FULL, seeds)
    mean = {name: sum(values) / len(values) for name, values in found.items()}
    figures = {
        "sepbn_toy_nme_bn": mean["bn"],
        "sepbn_toy_nme_sepbn": mean["sepbn"],
        "sepbn_toy_ratio": mean["sepbn"] / mean["bn"],
        "sepbn_toy_information": mean["information"],
        "sepbn_toy_information_by_chance": mean["by_chance"],
    }
    if not given.quick:
        about = {"setting": "reduced setting, not comparable with the paper", "by_seed": found}
        write_result("sepbn_toy", figures, about, seeds)
    print_figures(figures)


if __name__ == "__main__":
    main()
