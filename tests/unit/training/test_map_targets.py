"""Pseudo-labels that are maps: which maps are kept, what a student learns of them, and that a run can be resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lmdeploy.types import F32
from tests.oracles import ts3 as oracle
from tests.unit.training.conftest import made_batch, tiny_recipe, tiny_request
from training import job
from training.engine import checkpoint, count, map_labels, processes, trainer
from training.engine.fit import Schedule, Stage, Step
from training.engine.processes import Share
from training.engine.train_set import Part
from training.methods import METHODS
from training.methods.map_targets import kept_maps, swapped, wanted_maps
from training.methods.students import student_step
from training.models.students import Students

RIVALS = ("ts3", "spl", "spaco")


def plain_input(image: np.ndarray) -> Tensor:
    """A cached crop u8[48,48,3] as the network sees its middle 32 px: f32[1,3,32,32]."""
    middle = image[8:40, 8:40].astype(np.float32) / 255
    scaled = (middle - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    return torch.from_numpy(scaled.astype(np.float32)).permute(2, 0, 1)[None]


def said_by(network: Students, a: int | None, x: Tensor) -> Tensor:
    """Maps f32[C,h,w] of student a alone, or the mean of both, CPM's doubled in size."""
    network.eval()
    with torch.no_grad():
        last = [student.raw(x)[-1] for student in network.students]  # type: ignore[operator]  # of a ModuleList
    if a is not None:
        return last[a][0]
    doubled = nn.functional.interpolate(last[0], scale_factor=2, mode="bilinear", align_corners=False)
    return ((doubled + last[1]) / 2)[0]


@pytest.mark.parametrize("method", RIVALS)
def test_the_maps_of_the_chosen_images_are_kept(method: str, toy: Path, tmp_path: Path) -> None:
    """The students' mean, or in SPL each student's own, of the images that are learnt from and no others."""
    recipe = tiny_recipe(method, pseudo_target="maps")
    ready = job.prepare(tiny_request(toy, tmp_path, method, recipe=recipe))
    seen: list[list[Part]] = []

    def note(module: nn.Module, parts: list[Part], step: Step, stage: Stage, schedule: Schedule | None = None) -> None:
        if not stage.name.endswith("teacher"):
            seen.append(parts)

    ready.trainer.fit = note  # type: ignore[method-assign,assignment]
    METHODS[method].train(recipe.method_config(), ready.trainer, ready.labelled, ready.unlabelled)
    network = ready.trainer.new_network()  # as nothing was trained, what all students of all rounds are
    assert isinstance(network, Students)
    assert all(parts[0].maps is None for parts in seen)
    for a, parts in enumerate(seen[2:]):
        kept, rows = parts[1].maps, parts[1].rows
        assert kept is not None
        assert rows is not None
        assert (kept.dtype, len(kept), parts[1].pseudo) == (np.float16, 3, True)
        assert kept.shape[1:] == ((69, 4, 4) if method == "spl" and a == 0 else (69, 8, 8))
        for row, maps in zip(rows, kept, strict=True):
            wanted = said_by(network, a if method == "spl" else None, plain_input(parts[1].crops.images[row]))
            np.testing.assert_allclose(maps[:68], wanted[:68], atol=2e-3)
            np.testing.assert_allclose(maps[68], 1 - wanted[68], atol=2e-3)


def test_gaussians_keep_no_maps(toy: Path, tmp_path: Path) -> None:
    ready = job.prepare(tiny_request(toy, tmp_path, "ts3"))
    seen: list[Part] = []
    ready.trainer.fit = lambda module, parts, *_: seen.extend(parts)  # type: ignore[method-assign,assignment]
    METHODS["ts3"].train(tiny_recipe("ts3").method_config(), ready.trainer, ready.labelled, ready.unlabelled)
    assert len(seen) == 2 + 2 + 4  # students alone, their teachers, students with pseudo-labels
    assert all(part.maps is None for part in seen)


@pytest.mark.parametrize("rows", [(), (4,), (9, 0, 3), tuple(range(10))])
def test_processes_share_the_prediction(
    rows: tuple[int, ...], toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = job.prepare(tiny_request(toy, tmp_path, "ts3"))
    network = ready.trainer.new_network()
    assert ready.unlabelled is not None
    alone = kept_maps(ready.trainer, network, ready.unlabelled, rows)
    monkeypatch.setattr(map_labels.processes, "gather", lambda own: own)
    together: list[F32] = []
    for rank in range(3):
        with monkeypatch.context() as one:
            one.setattr(processes, "share", lambda rank=rank: Share(rank, 3))
            one.setattr(map_labels, "BATCH", 4)
            one.setattr("training.engine.predictor.BATCH", 4)
            together.append(kept_maps(ready.trainer, network, ready.unlabelled, rows))
    assert len({maps.shape[1:] for maps in together}) == 1
    np.testing.assert_allclose(np.concatenate(together), alone, atol=2e-3)


@pytest.mark.parametrize("cells", [8, 4])
def test_a_student_learns_gaussians_of_labelled_and_maps_of_other_images(cells: int) -> None:
    batch = made_batch([False, True, True], landmarks=3)
    draw = torch.Generator().manual_seed(1)
    h = torch.rand(3, 4, 8, 8, generator=draw)
    object.__setattr__(batch, "maps", swapped(h, 3))
    object.__setattr__(batch, "visible", torch.tensor([[True, False, True]] * 3))
    stages = tuple(torch.rand(3, 4, cells, cells, generator=draw) for _ in range(2))
    found = student_step(3.0, "ts3")(lambda x: stages, batch)["loss"]  # type: ignore[arg-type]  # stands for a module
    stride = 32 // cells
    gaussians = np.stack([oracle.label_map(*batch.points[0, k].tolist(), 3.0, cells, stride) for k in range(3)])
    total = oracle.detection([s[:1].numpy() for s in stages], [gaussians], batch.visible[:1].numpy(), back=True)
    for b in (1, 2):
        wanted = h[b].numpy() if cells == 8 else halved(h[b].numpy())
        total += sum(float(((s[b].numpy() - wanted) ** 2).sum()) for s in stages)  # H is of all landmarks
    assert float(found) == pytest.approx(total / 3, rel=1e-4)


def halved(maps: np.ndarray) -> np.ndarray:
    """Maps [C,8,8] between every other two cells: the cubic through four cells at its middle, ends repeated."""
    weights = np.array([-3, 19, 19, -3]) / 32  # Keys' kernel with a = -0.75 at -1.5, -0.5, 0.5 and 1.5
    index = np.clip(np.arange(0, 8, 2)[:, None] + np.arange(-1, 3), 0, 7)
    across = (maps[:, :, index] * weights).sum(axis=-1)
    down: np.ndarray = (across[:, index] * weights[:, None]).sum(axis=2)
    return down


def test_without_a_background_map_only_landmarks_are_learnt() -> None:
    batch = made_batch([True, False], landmarks=3)
    h = torch.rand(2, 3, 8, 8)
    object.__setattr__(batch, "maps", h)
    wanted, counted = wanted_maps(batch.target, batch, 3)
    assert torch.equal(wanted[0], h[0])
    assert torch.equal(wanted[1], batch.target[1])
    assert counted.all()


def test_a_resumed_run_equals_a_straight_run(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny_recipe("ts3", pseudo_target="maps")

    def weights(name: str) -> dict[str, Tensor]:
        request = tiny_request(toy, tmp_path / name, "ts3", recipe=recipe)
        return checkpoint.read(job.run(request, lambda _: None)).weights

    straight = weights("straight")
    monkeypatch.setattr(trainer.metrics_log, "SAVE_EVERY_S", -1.0)
    real, stops = checkpoint.write, iter([True, False, True, True, False, True])

    def write(path: Path, *args: Any, **kwargs: Any) -> None:
        real(path, *args, **kwargs)
        if "round1" in path.name and "teacher" not in path.name and next(stops, False):
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer.checkpoint, "write", write)
    broken = 0
    while True:
        try:
            resumed = weights("broken")
            break
        except KeyboardInterrupt:
            broken += 1
    assert broken >= 2  # within student 1's two epochs, and after student 2
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)


def test_a_run_s_length_is_counted_without_predicting_maps(toy: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe("ts3", pseudo_target="maps")
    ready = job.prepare(tiny_request(toy, tmp_path, "ts3", recipe=recipe))
    ready.trainer.map_labels = None  # type: ignore[method-assign,assignment]  # whoever calls it fails
    found = count.count(METHODS["ts3"].train, recipe.method_config(), ready.trainer, ready.labelled, ready.unlabelled)
    assert [length.name for length in found.lengths][-1] == "round1-student2"
