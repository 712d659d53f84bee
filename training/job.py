"""One training run from the user's folders: read, box, cache, train, write the final checkpoint."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from lmdeploy.atomic import write_file
from lmdeploy.bundle import ModelSpec, TrainingData, find_bundle
from lmdeploy.dataset import read_labelled
from lmdeploy.errors import InputError
from lmdeploy.evaluate import Evaluation, evaluate
from lmdeploy.geometry import BoxMap
from lmdeploy.model import Model, choose
from lmdeploy.parts import Part
from lmdeploy.schema import LandmarkSchema
from training import results, run_folder
from training.data import crops as crop_cache
from training.data.crops import Crops
from training.data.pools import Pools
from training.data.published import measured_at
from training.engine import checkpoint, processes
from training.engine.count import count
from training.engine.devices import check_compiler, open_fabric
from training.engine.predictor import TorchBackend
from training.engine.progress import RunProgress
from training.engine.trainer import Report, Settings, Trainer
from training.methods import METHODS
from training.models import Network
from training.recipe import Recipe, checked
from training.sources import Sources, read, sources_of

MORE = "give --unlabelled FOLDER, or --labelled to split --data"
LEAST = 2  # labelled images: one alone has no spread to learn from
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for.

    boxes: where boxes of unlabelled images come from (`haar`, `yunet`, `whole_image`, or `gt` for labelled images
    that count as unlabelled). licence: of the labelled data, for the model card. also: further labelled folders, each
    with its schema, or the user's copies of the recipe's further sets, each with the set's name.
    """

    recipe: Recipe
    data: Path
    out: Path
    labelled: str | None = None
    unlabelled: tuple[Path, ...] = ()
    init: Path | None = None
    evaluate: Path | None = None
    schema: str = "ibug68"
    also: tuple[tuple[Path, str], ...] = ()
    boxes: str = "haar"
    yunet: Path | None = None
    seed: int = 1234
    device: str = "auto"
    precision: str = "auto"
    compiled: bool = False  # through torch.compile
    devices: int | None = None
    licence: str = "not stated"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that is ready to start."""

    trainer: Trainer
    labelled: Crops
    unlabelled: Crops | None
    notes: tuple[str, ...]


def prepare(request: Request) -> Prepared:
    """Read every image once, find the boxes, build the cache and the trainer."""
    sources = sources_of(request)
    schema = sources.landmarks
    start = _start(request.recipe, request.init, sources)
    recipe = start.recipe
    method = METHODS[recipe.method]
    pools, boxes, parts = read(request, sources)
    spec = _spec(start, schema, parts, boxes.maps, pools, request.licence)
    fabric = open_fabric(request.device, request.precision, request.devices)
    if request.compiled:
        check_compiler(fabric.device)
    settings = Settings(
        spec, recipe.network, recipe.schedule, recipe.augment, request.seed, sources.target, request.compiled
    )
    report = _reporter(request, settings, fabric.device)
    trainer = Trainer(settings, request.out, fabric, start.weights, report)
    cache = request.out / "cache"
    if len(boxes.labelled) < LEAST:
        raise InputError(f"{len(boxes.labelled)} labelled image is too few to train on: give at least {LEAST}")
    labelled = crop_cache.build(boxes.labelled, schema.points, recipe.crop, cache, "labelled")
    unlabelled = None
    if method.needs_unlabelled(recipe.options) and not boxes.unlabelled:
        raise InputError(_no_unlabelled(recipe.method, len(pools.hidden) + len(pools.unlabelled), request.boxes))
    if boxes.unlabelled:
        unlabelled = crop_cache.build(boxes.unlabelled, schema.points, recipe.crop, cache, "unlabelled")
    if start.weights is None and not recipe.network.pretrained:
        log.warning("warning: %s starts from random weights (network.pretrained = false)", recipe.network.trunk)
    return Prepared(trainer, labelled, unlabelled, (*pools.notes, *boxes.notes))


def run(request: Request, tell: Callable[[str], None]) -> Path:
    """Train from the start, or from where a killed run stopped; returns the final checkpoint."""
    ready, method, config = prepare(request), METHODS[request.recipe.method], request.recipe.method_config()
    if processes.first():
        for note in ready.notes:
            tell(note)
        run_folder.write_recipe(request.out, ready)
        run_folder.write_summary(request, ready)
    lengths = count(method.train, config, ready.trainer, ready.labelled, ready.unlabelled).lengths
    ready.trainer.progress = RunProgress(lengths)
    network = method.train(config, ready.trainer, ready.labelled, ready.unlabelled)
    file = ready.trainer.finish(network)
    if processes.first():
        run_folder.write_summary(request, ready)
    if request.recipe.data is not None and processes.first():
        settings = ready.trainer.settings
        model = _model(settings.spec, network, ready.trainer.fabric.device, settings.target)
        root = measured_at(request.recipe.data, request.data, request.unlabelled)
        results.report(model, request.recipe.data, request.recipe.target, root, request.out, tell)
    return file


class _Start(NamedTuple):
    """What --init hands on: its architecture, its weights, its detectors' box maps and the data it has seen."""

    recipe: Recipe
    weights: Path | None = None
    maps: dict[str, BoxMap] = {}  # noqa: RUF012 - never changed
    data: tuple[TrainingData, ...] = ()


def _start(recipe: Recipe, init: Path | None, sources: Sources) -> _Start:
    """With --init, network, crop and codec are the given model's: weights fit no other."""
    schema, parts = sources.landmarks, [(part.label, part.landmarks.points) for part in sources.parts]
    if init is None:
        points = tuple(count for _, count in parts) or (schema.points,)
        return _Start(recipe.model_copy(update={"network": recipe.network.for_parts(points)}))
    file = checkpoint.find(init if init.exists() else find_bundle(init))
    about = checkpoint.read(file).about
    given = [(part.label, part.landmarks.points) for part in about.spec.parts]
    if about.spec.landmarks.points != schema.points or given != parts:
        raise InputError(
            f"--init {init} finds {about.spec.landmarks.points} points ({about.spec.landmarks.name}), the data has "
            f"{schema.points} ({schema.name}): choose the matching --schema or another model"
        )
    taken = {"network": about.network, "crop": about.spec.crop, "codec": about.spec.codec}
    return _Start(
        checked(recipe.model_copy(update=taken), f"--init {init}"), file, about.spec.detectors, about.spec.data
    )


def _spec(
    start: _Start, schema: LandmarkSchema, parts: tuple[Part, ...], maps: dict[str, BoxMap], pools: Pools, licence: str
) -> ModelSpec:
    recipe = start.recipe
    used = [(pools.labelled, True), ((*pools.hidden, *pools.unlabelled), False)]
    records = [
        TrainingData(name=folder, images=count, labelled=labelled, licence=licence)
        for samples, labelled in used
        for folder, count in Counter(_origin(sample.path) for sample in samples).items()
    ]
    return ModelSpec(
        name=recipe.name, landmarks=schema, crop=recipe.crop, codec=recipe.codec, detectors=start.maps | maps,
        method=recipe.method, recipe=recipe.model_dump(mode="json"), data=(*start.data, *records),
        parts=parts,
    )  # fmt: skip


def _origin(path: Path) -> str:
    """Data set folder of an image, e.g. faces68/train of faces68/train/images/a.jpg."""
    folder = path.parent.parent if path.parent.name == "images" else path.parent
    return f"{folder.parent.name}/{folder.name}"


def _no_unlabelled(method: str, given: int, boxes: str) -> str:
    if not given:
        return f"{method} needs unlabelled images: {MORE}"
    return (
        f"{method} needs unlabelled images, but --boxes {boxes} has a box for none of the {given}: choose another "
        "--boxes (haar, yunet, whole_image), or give boxes.csv"
    )


def _model(spec: ModelSpec, network: Network, device: torch.device, target: str) -> Model:
    """The network as the runtime's model, on the run's device; of several schemas that of the target."""
    model = Model(spec, TorchBackend(network, spec.codec, device), digest="")
    return choose(model, target) if spec.parts else model


def _reporter(request: Request, settings: Settings, device: torch.device) -> Report:
    """Measures each round and keeps the result beside the run."""
    own = next((part.landmarks for part in settings.spec.parts if part.label == settings.target), None)
    measure = _measure(request, own or settings.spec.landmarks)
    if measure is None:
        return lambda network, name, spec: None

    def report(network: Network, name: str, spec: ModelSpec) -> None:
        result = measure(_model(spec, network, device, settings.target))
        log.info("%s: NME %.3f %% on %d images", name, result.nme, result.images)
        write_file(request.out / "rounds" / f"{name}.json", (result.model_dump_json(indent=1) + "\n").encode())

    return report


def _measure(request: Request, schema: LandmarkSchema) -> Callable[[Model], Evaluation] | None:
    """What measures a round: on the --eval folder, else on the first test split of the recipe's published set."""
    data = request.recipe.data
    if request.evaluate is not None:
        samples = read_labelled(request.evaluate, schema)
        return lambda model: evaluate(model, samples)
    if data is not None:
        root = measured_at(data, request.data, request.unlabelled)
        return lambda model: results.on_split(model, data, root, data.test[0])
    return None
