"""What a run folder says of itself: run.json (what was asked), recipe.toml (what was run), run.md (how it went)."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError

from lmdeploy import __version__
from lmdeploy.atomic import write_file
from lmdeploy.errors import InputError
from lmdeploy.installed import installed_versions
from training.engine import rounds
from training.recipe import Recipe
from training.toml_text import toml_text

if TYPE_CHECKING:
    from training.job import Prepared, Request

PACKAGES = ("torch", "torchvision", "timm", "lightning-fabric", "numpy", "opencv-python-headless", "safetensors")
# a run goes on only with the same
ASKED = ("recipe", "seed", "labelled", "data", "also", "unlabelled", "init", "boxes")
NEW: dict[str, Any] = {"also": []}  # what a field was before it was asked for
LABELS = (".csv", ".json", ".mat", ".pts", ".txt")  # files that are hashed with their content, up to
LABELS_UP_TO = 64e6  # bytes


def claim(request: Request) -> None:
    """Write run.json, or check that what the folder holds belongs to the same request.

    Errors: InputError when the folder holds stages of another request, or of other labels.
    """
    file = request.out / "run.json"
    about = _asked(request)
    if file.is_file():
        changed = _changed(json.loads(file.read_text(encoding="utf-8")), about)
        if not changed:
            return
        if any((request.out / name).exists() for name in ("stages", "model.safetensors", "metrics.csv")):
            raise InputError(f"{request.out} holds another run ({', '.join(changed)} differ): choose another --out")
    command = shlex.join(["lmdeploy", *sys.argv[1:]])
    more: dict[str, Any] = {"versions": _versions(), "commit": _commit(), "command": command}
    more |= {"device": request.device, "precision": request.precision, "devices": request.devices}
    more |= {"compiled": request.compiled}
    write_file(file, (json.dumps(about | more, indent=1, sort_keys=True) + "\n").encode())


def write_recipe(run: Path, ready: Prepared) -> None:
    """recipe.toml: every value that the run uses, readable by `lmdeploy train`."""
    resolved = Recipe.model_validate(ready.trainer.settings.spec.recipe)
    resolved = resolved.model_copy(update={"options": resolved.method_config().model_dump(mode="json")})
    text = f"# The resolved recipe of this run: lmdeploy train {run / 'recipe.toml'} --data ...\n"
    write_file(run / "recipe.toml", (text + toml_text(resolved.model_dump(mode="json"))).encode())


def write_summary(request: Request, ready: Prepared) -> None:
    """run.md: what was trained on what, the rounds' test figures, the stages, and what to do next."""
    trainer, run = ready.trainer, request.out
    about = json.loads((run / "run.json").read_text(encoding="utf-8")) if (run / "run.json").is_file() else {}
    parts = [f"# {request.recipe.name}: {request.recipe.method} on {request.data}\n"]
    parts += [f"    {about['command']}\n"] if "command" in about else []
    if not (run / "model.safetensors").is_file():
        parts.append("Not finished: the same call goes on from the last checkpoint.\n")
    device = str(trainer.fabric.device)
    if device.startswith("cuda"):
        device = torch.cuda.get_device_name(trainer.fabric.device)
    parts.append(f"Device: {trainer.fabric.world_size} x {device}, seed {request.seed}. {'; '.join(ready.notes)}.\n")
    parts += [f"**Warning.** {warning}\n" for warning in trainer.warnings]
    parts.append(_rounds_table(run, trainer.rounds))
    parts.append(_stages_table(run / "metrics.csv"))
    parts.append(
        "## Files\n\nmodel.safetensors: the final network. recipe.toml: every setting. run.json: request, versions, "
        "commit and hashes of the data. metrics.csv and tensorboard/: every epoch. rounds/: test figures. pseudo/: "
        "labels of each round with a preview. stages/: the weights after each stage.\n\n"
        f"Next: `lmdeploy export {run} -o BUNDLE --images FOLDER`, `lmdeploy evaluate {run} --data FOLDER`, "
        f"`tensorboard --logdir {run / 'tensorboard'}`.\n"
    )
    write_file(run / "run.md", "\n".join(parts).encode())


def hash_folder(folder: Path, without: Path) -> dict[str, Any]:
    """files: their number. names_and_sizes: sha256 over both. labels: sha256 over the content of the label files.

    without: a folder inside that is not looked at.
    """
    names, labels, count = hashlib.sha256(), hashlib.sha256(), 0
    for inside, folders, files in os.walk(folder):  # pathlib takes seven seconds for 200,000 files, this takes one
        folders[:] = sorted(name for name in folders if Path(inside, name) != without)
        for name in sorted(files):
            path = os.path.join(inside, name)  # noqa: PTH118 - as above
            size = os.lstat(path).st_size  # a link counts as itself: what it leads to may be gone
            names.update(f"{path[len(str(folder)) :]}\0{size}\n".encode())
            count += 1
            if size <= LABELS_UP_TO and name.lower().endswith(LABELS) and Path(path).is_file():
                labels.update(name.encode() + b"\0" + Path(path).read_bytes())
    return {"files": count, "names_and_sizes": names.hexdigest(), "labels": labels.hexdigest()}


def _asked(request: Request) -> dict[str, Any]:
    folders = [request.data.resolve(), *(path.resolve() for path in request.unlabelled)]
    also = [[str(path.resolve()), schema] for path, schema in request.also]
    everything = [*folders, *(Path(path) for path, _ in also)]
    hashes = {str(folder): hash_folder(folder, request.out.resolve()) for folder in everything}
    listed = Path(request.labelled or "")
    if listed.is_file():
        hashes[str(listed.resolve())] = {"labels": hashlib.sha256(listed.read_bytes()).hexdigest()}
    return {
        "recipe": request.recipe.model_dump(mode="json"),
        "seed": request.seed,
        "labelled": request.labelled,
        "data": str(folders[0]),
        "also": also,
        "unlabelled": [str(folder) for folder in folders[1:]],
        "init": str(request.init),
        "boxes": request.boxes,
        "hashes": hashes,
    }


def _changed(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs; fields that an older version did not have count with the values they then had, the defaults."""
    old: Any = None
    with suppress(ValidationError):  # a recipe that this version cannot read is another one
        old = Recipe.model_validate(before.get("recipe")).model_dump(mode="json")
    changed = [key for key in ASKED if (old if key == "recipe" else before.get(key, NEW.get(key))) != now[key]]
    old_hashes: dict[str, Any] = before.get("hashes", {})
    for path in now["hashes"].keys() & old_hashes.keys():
        if old_hashes[path]["labels"] != now["hashes"][path]["labels"]:
            changed.append(f"labels in {path}")
    return changed


def _versions() -> dict[str, str]:
    found = {"lmdeploy": __version__, "python": platform.python_version(), "platform": platform.platform()}
    return found | installed_versions(PACKAGES) | {"torch": torch.__version__}


def _commit() -> str | None:
    """Commit of the checkout that this package lies in, with `+changes`; None where it is installed from a wheel."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
        except OSError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    return commit and commit + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")


def _rounds_table(run: Path, names: Iterable[str]) -> str:
    found = {name: rounds.figures(run, name) for name in names}
    columns = [key for key in rounds.SHOWN if any(key in row for row in found.values())]
    if not columns:
        return "## Rounds\n\nNot measured: give --eval FOLDER.\n"
    head = f"| round | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}\n"
    rows = [f"| {name} | {' | '.join(_cell(row.get(key)) for key in columns)} |" for name, row in found.items()]
    return "## Rounds\n\n" + head + "\n".join(rows) + "\n\nnme and fr in per cent; rounds/NAME.json says of what.\n"


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _stages_table(metrics: Path) -> str:
    if not metrics.is_file():
        return ""
    with metrics.open(newline="", encoding="utf-8") as stream:
        values = [row for row in csv.DictReader(stream) if row["name"] in ("loss", "epoch_s")]
    stages = {row["stage"]: [0.0, 0.0, 0.0] for row in values}
    for row in values:
        stage = stages[row["stage"]]
        if row["name"] == "epoch_s":
            stage[2] += float(row["value"])
        else:
            stage[:2] = [float(row["epoch"]), float(row["value"])]
    rows = [f"| {name} | {epochs:.0f} | {loss:.4g} | {s / 60:.1f} |" for name, (epochs, loss, s) in stages.items()]
    return "## Stages\n\n| stage | epochs | last loss | minutes |\n|---|---:|---:|---:|\n" + "\n".join(rows) + "\n"
