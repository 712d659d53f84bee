"""Drawn faces and a tiny recipe, so that real training takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from benchmarks.toy_faces import write_folder
from tests.unit.training.protocols import write_five
from training import job, recipe
from training.engine.batch import Batch
from training.methods import METHODS
from training.models import NetworkConfig, hybrid, pipnet, sepbn


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Networks of a few thousand weights are slower on several threads, and much slower on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders labelled (12 images), unlabelled (10, whole-image boxes), test (8), five (6, in the schema face5)."""
    root = tmp_path_factory.mktemp("toy")
    write_folder(root / "labelled", 12, seed=1)
    write_folder(root / "test", 8, seed=3)
    write_five(root / "five", 6, seed=4)
    folder = write_folder(root / "unlabelled", 10, seed=2, labelled=False)
    rows = [f"{path.name},30,30,130,130" for path in sorted((folder / "images").iterdir())]
    (folder / "boxes.csv").write_text("\n".join(["image,x0,y0,x1,y1", *rows]) + "\n")
    return root


def made_batch(pseudo: list[bool], coordinates: bool = False, landmarks: int = 4) -> Batch:
    """A batch of random views of 32 px; its second view is the batch itself."""
    count = len(pseudo)
    shape = (count, landmarks, 2) if coordinates else (count, landmarks, 8, 8)

    def again(_: object) -> Batch:
        return batch

    batch = Batch(
        x=torch.randn(count, 3, 32, 32), points=torch.rand(count, landmarks, 2) * 32, target=torch.rand(shape),
        visible=torch.ones(count, landmarks, dtype=torch.bool), pseudo=torch.tensor(pseudo), p=torch.ones(count),
        score=torch.ones(count, landmarks), matrix=torch.eye(2, 3).expand(count, 2, 3),
        flip=torch.zeros(count, dtype=torch.bool), step=0, progress=0.0, view=again,
    )  # fmt: skip
    return batch


TINY_PRETRAINING: dict[str, Any] = {
    "epochs": [1, 1, 2], "batch": 6, "lr": 1e-3, "critics": {"hidden": 8, "widths": [8, 8]},
}  # fmt: skip

TINY_STUDENTS: list[dict[str, Any]] = [
    {"epochs": 2, "schedule": {"batch": 4, "lr": 1e-4, "optimiser": "sgd"}, "stage_rate": 4.0},
    {"epochs": 1, "schedule": {"batch": 4, "lr": 1e-3, "optimiser": "rmsprop"}},
]

TINY_OPTIONS: dict[str, dict[str, Any]] = {
    "active_learning": {"epochs": 2, "oversample": 0, "initial": 3, "budget": 6, "step": 2, "discard": 0.2},
    "brute_force": {"epochs": 2, "decay_at": [], "oversample": 0},
    "supervised": {"epochs": 2, "decay_at": [], "oversample": 0},
    "naive": {"epochs": 2, "decay_at": [], "oversample": 0, "rounds": 2},
    "linear_warmup": {"epochs": 2, "decay_at": [], "oversample": 0, "rounds": 2},
    "pseudo_label": {"epochs": 2, "decay_at": [], "oversample": 0, "rounds": 2, "tau": 0.0},
    "data_distillation": {"epochs": 2, "decay_at": [], "oversample": 0, "scales": [0.9, 1.0]},
    "mae": {
        "epochs": 2, "decay_at": [], "oversample": 0, "mae_epochs": 2, "mae_batch": 5, "mae_lr": 0.05,
        "decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2,
    },
    "cross_protocol": {"epochs": 2, "fine_epochs": 2},
    "curriculum_labeling": {"epochs": 2, "decay_at": [], "oversample": 0, "step": 0.5},
    "dst": {"epochs": 2, "decay_at": [], "oversample": 0, "tau": 0.0, "reversal_steps": 2},
    "easy_hard": {"epochs": 2, "decay_at": [], "oversample": 0},
    "elt": {"epochs": 2, "decay_at": []},
    "fabrec": {"epochs": 2, "itl_epochs": 1, "oversample": 0, "sigma": 1.5, "pretraining": TINY_PRETRAINING},
    "fixmatch": {"epochs": 2, "decay_at": [], "oversample": 0, "tau": 0.0},
    "hybridmatch": {"epochs": 2, "decay_at": [], "oversample": 0},
    "scaf": {"epochs": 2, "oversample": 0, "sigma": 1.5, "pretraining": TINY_PRETRAINING},
    "seq_mt": {"epochs": 2, "attribute": 0.0},
    "spaco": {"steps": 1, "r": 0.3, "students": TINY_STUDENTS},
    "spl": {"steps": 1, "r": 0.3, "students": TINY_STUDENTS},
    "stc": {"epochs": 2, "decay_at": [], "oversample": 0, "tasks": ["cls3", "std"]},
    "stld": {
        "epochs": 2, "decay_at": [], "pretrain_epochs": 2, "pretrain_decay_at": [], "oversample": 0, "rounds": 3,
        "sigma": [2.2, 1.5], "p": [2.4, 1.0], "speed_up": 2,
    },
    "ts3": {
        "steps": 1, "r": 0.3, "students": TINY_STUDENTS, "teacher": {"epochs": 1, "lr": 1e-3, "batch": 6, "width": 4},
    },
}  # fmt: skip
"""Options of each method that make its run as short as one that shows all of its stages can be."""

NO_WEIGHT: dict[str, dict[str, Any]] = {
    "dst": {"lambda_u": 0.0, "lambda_strong": 0.0, "eta": 0.0},
    "easy_hard": {"w": 0.0},
    "elt": {"alpha": 0.0},
    "fixmatch": {"lambda_u": 0.0},
    "linear_warmup": {"lambda_first": 0.0, "lambda_last": 0.0},
    "mae": {"pretraining": "none"},
    "pseudo_label": {"tau": 1.1},
    "data_distillation": {"tau": 1.1},
}
"""Options under which unlabelled data count for nothing; a method without any is exempt from that property."""

TINY_ENSEMBLE: dict[str, Any] = {
    "kind": "ts3",
    "students": [
        {"kind": "cpm", "width": 4, "stages": 2, "batch_norm": True, "background": True},
        {"kind": "hourglass", "features": 8, "stacks": 2, "depth": 1, "residuals": 1, "background": True},
    ],
}

SMALL_RESNET = {"channels": [8, 8, 8, 8], "stem_type": "deep", "stem_width": 8}

TINY_NETWORKS: dict[str, dict[str, Any]] = {
    "brute_force": {"sepbn": sepbn.Options(attention="brute_force")},
    "cross_protocol": {"kind": "branches", "backbone_options": SMALL_RESNET, "backbone": "resnet18"},
    "fabrec": {"kind": "fabrec", "size": 32, "widths": [8, 8, 8], "blocks": 1, "latent": 6},
    "hybridmatch": {"kind": "hybrid", "channels": 8, "profile_channels": 8, "reach": 3},
    "mae": {
        "backbone": "vit_tiny_patch16_224",
        "backbone_options": {"patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "out_indices": [1]},
        "lateral": False,
    },
    "scaf": {"kind": "scaf", "size": 32, "widths": [8, 8, 8], "blocks": 1, "latent": 6},
    "seq_mt": {"kind": "seq_mt", "side": 16, "channels": 4},
    "spaco": TINY_ENSEMBLE,
    "spl": TINY_ENSEMBLE,
    "stc": {"kind": "pipnet", "neighbours": 3},
    "ts3": TINY_ENSEMBLE,
}
"""Fields of the network config of the methods that do not train the tiny heatmap network."""


def tiny_network(fields: dict[str, Any]) -> NetworkConfig:
    """A very small ResNet with the heatmap network's head, or with that of another kind."""
    small = SMALL_RESNET
    if fields.get("kind") == "pipnet":
        return pipnet.Config.model_validate({"backbone_options": small | {"out_indices": [0, 1, 2, 3]}} | fields)
    if fields.get("kind") == "hybrid":
        return hybrid.Config.model_validate({"backbone_options": small} | fields)
    if fields.get("kind") in {"branches", "fabrec", "scaf", "seq_mt", "ts3"}:
        made: NetworkConfig = TypeAdapter(NetworkConfig).validate_python(fields)
        return made
    base = recipe.load("face68").network
    return base.model_copy(update={"backbone_options": small, "channels": 8} | fields)


def tiny_recipe(method: str, **options: Any) -> recipe.Recipe:
    """A recipe of 32 px crops and a very small network."""
    base = recipe.load("face68")
    network = tiny_network(TINY_NETWORKS.get(method, {}))
    return recipe.checked(
        base.model_copy(
            update={
                "method": method,
                "crop": base.crop.model_copy(update={"size": 32}),
                "network": network,
                "codec": network.codecs[0],
                "schedule": base.schedule.model_copy(update={"batch": 4}),
                "options": {**TINY_OPTIONS[method], **options},
            }
        ),
        "test",
    )


def tiny_request(toy: Path, out: Path, method: str, **fields: Any) -> job.Request:
    """A run on the drawn faces; the processor's plain fp32 keeps it comparable."""
    about: dict[str, Any] = {"recipe": tiny_recipe(method), "boxes": "file", "device": "cpu", "precision": "32"}
    about["unlabelled"] = (toy / "unlabelled",) if METHODS[method].unlabelled else ()
    about["also"] = ((toy / "five", "face5"),) if METHODS[method].several else ()
    return job.Request(data=toy / "labelled", out=out, **(about | fields))
