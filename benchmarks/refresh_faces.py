"""What a refresh gains on real faces, against training longer on the same labels.

    champion   supervised on 60 images, its steps doubled until doubling no longer helps on the gate images
    control    supervised on the same 60 images, with the champion's steps plus those of stld
    stld       the champion's refresh with 1,500 site frames, boxes from the champion, students from its weights; as in
               the recipe `refresh`, labels are averaged over scaled and mirrored copies and go to the main head in the
               last round
    stld_plain the same with labels from one pass, always on the second head, as published
    naive      the same frames as true labels, about as many steps as stld

NME is inter-ocular in image px on the whole test folder, ground-truth boxes. Choices (the champion's length, the gate)
look at the gate images alone. The paired difference to the control comes with its bootstrap interval over the test
images. Needs the folders faces68_300w and faces68; `--quick` draws its own faces instead.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import refresh_data, refresh_plot
from benchmarks.faces_options import YUNET
from benchmarks.record import write_result
from benchmarks.refresh_runs import (
    FULL,
    QUICK,
    Lengths,
    control_name,
    naive_request,
    rounds_of,
    stld_request,
    supervised_request,
    train_one,
)
from export.package import Request, package
from lmdeploy.dataset import read_labelled, read_unlabelled
from lmdeploy.model import open_model
from lmdeploy.site.gate import GateResult, GateRule, decide
from lmdeploy.site.measure import gate_errors
from training import job

GAIN = 0.05  # per cent of NME that doubling the steps must bring to count as help
SEED = 1234
WORKERS = 4  # processes of one thread each: on small networks faster than one process of several threads


@dataclass(frozen=True, slots=True)
class Setting:
    """Folders, lengths and the detector of one execution."""

    out: Path
    data: refresh_data.Folders
    lengths: Lengths
    detector: str
    yunet: Path | None


@dataclass(frozen=True, slots=True)
class Tried:
    """A supervised run: its request, image-steps, gate and test NME in per cent."""

    request: job.Request
    steps: int
    gate: float
    test: float


def plateau(setting: Setting, pool: ProcessPoolExecutor) -> list[Tried]:
    """Supervised runs of doubling length."""
    lengths = [setting.lengths.supervised * 2**i for i in range(setting.lengths.doublings + 1)]
    asked = [supervised_request(setting.out, setting.data, f"supervised-{n}", n, setting.lengths) for n in lengths]
    tried = []
    for request, steps, run in zip(asked, lengths, pool.map(train_one, asked), strict=True):
        gate, test = (refresh_data.nme(run.parent, folder) for folder in (setting.data.gate, setting.data.test))
        tried.append(Tried(request, steps, gate, test))
        say(f"supervised, {steps} image-steps: gate {gate:.3f} %, test {test:.3f} %")
    return tried


def champion_of(tried: list[Tried]) -> Tried:
    """The shortest run whose doubling gains less than GAIN on the gate images."""
    for shorter, longer in pairwise(tried):
        if shorter.gate - longer.gate < GAIN:
            return shorter
    return tried[-1]


def gate(setting: Setting, champion: Path, candidate: Path) -> GateResult:
    """What a site's gate would say of the candidate."""
    samples = read_labelled(setting.data.gate, open_model(champion, device="cpu").spec.landmarks)
    errors = [gate_errors(model, samples, None) for model in (candidate, champion)]
    return decide(errors[0], errors[1], [sample.identity or sample.name for sample in samples], GateRule())


def say(line: str) -> None:
    """Print at once, so that a log shows how far a long execution has come."""
    print(line, flush=True)  # noqa: T201


def main(arguments: Iterable[str] | None = None) -> None:
    """Run everything and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="drawn faces and short runs, under 50 s; no record")
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"), help="folder of the real data")
    parser.add_argument("--out", type=Path, default=Path("runs/refresh_faces"))
    options = parser.parse_args(list(arguments) if arguments is not None else None)
    if options.quick:
        with tempfile.TemporaryDirectory() as folder:
            data = refresh_data.drawn(Path(folder) / "data")
            execute(Setting(Path(folder), data, QUICK, "whole_image", None), record=False)
        return
    data = refresh_data.real(options.shared, options.out / "data", SEED)
    yunet = options.shared / YUNET
    execute(Setting(options.out, data, FULL, "yunet", yunet), record=True)


def execute(setting: Setting, record: bool) -> None:
    """Champion, refreshes and control; then figures, pictures and, if asked for, the record."""
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        tried = plateau(setting, pool)
        champion = champion_of(tried)
        frames = refresh(setting, champion, pool)
    conclude(setting, tried, champion, frames, record)


def refresh(setting: Setting, champion: Tried, pool: ProcessPoolExecutor) -> int:
    """Box the site frames by the champion, then train STLD, naive and the control; returns the frames with a face."""
    bundle, out = setting.out / "champion", setting.out
    if not bundle.exists():
        package(Request(champion.request.out, bundle, setting.data.gate, name="champion"))
    boxes = setting.data.site / "boxes.csv"
    if not boxes.is_file():
        kept, dropped = refresh_data.box_site_frames(setting.data.site, bundle, setting.detector, setting.yunet)
        say(f"site frames: {kept} with a face, {dropped} dropped")
    frames = len(boxes.read_text().splitlines()) - 1
    steps = champion.steps + setting.lengths.stld_steps(frames)
    asked = [
        supervised_request(out, setting.data, control_name(steps), steps, setting.lengths),
        stld_request(out, setting.data, bundle, setting.lengths),
        stld_request(out, setting.data, bundle, setting.lengths, averaged=False),
        naive_request(out, setting.data, bundle, setting.lengths),
    ]
    for run in pool.map(train_one, asked):
        say(f"{run.parent.name}: {rounds_of(run.parent)}")
    return frames


def conclude(setting: Setting, tried: list[Tried], champion: Tried, frames: int, record: bool) -> None:
    """Print the figures, draw the pictures and write the record."""
    out, steps = setting.out, champion.steps + setting.lengths.stld_steps(frames)
    runs = {"supervised": out / control_name(steps), "naive": out / "naive", "stld": out / "stld"}
    runs["stld_plain"] = out / "stld_plain"
    rounds = {name: rounds_of(run) for name, run in runs.items()}
    nme_final = {name: list(values.values())[-1] for name, values in rounds.items()}
    verdict = gate(setting, out / "champion", out / "stld")
    say(f"gate: {verdict.decision} ({verdict.reason})")
    pictures(setting, tried, champion, frames, rounds)
    against = {name: refresh_data.difference(runs[name], runs["supervised"], setting.data.test) for name in runs}
    say("stld minus control: {mean:+.3f} [{low:+.3f}, {high:+.3f}] %".format(**against["stld"]))
    figures = {f"nme_{name}": value for name, value in nme_final.items()} | {"nme_champion": champion.test}
    for name, value in figures.items():
        say(f"figure: {name}={value:.4f}")
    if record:
        details = {"nme_final": nme_final, "rounds": rounds, "gate": verdict.model_dump(), "minus_control": against}
        details |= about(setting, tried, champion, frames)
        say(f"{write_result('refresh_faces', figures, details, [SEED])}")


def about(setting: Setting, tried: list[Tried], champion: Tried, frames: int) -> dict[str, Any]:
    """What a reader needs to judge the figures: lengths, data, and how errors were measured."""
    steps = {
        "champion": champion.steps,
        "stld": setting.lengths.stld_steps(frames),
        "naive": setting.lengths.naive_steps(frames),
    }
    return {
        "frames": frames,
        "plateau": [{"image_steps": t.steps, "gate": t.gate, "test": t.test} for t in tried],
        "image_steps": steps | {"control": steps["champion"] + steps["stld"]},
        "lengths": asdict(setting.lengths),
        "folders": refresh_data.fingerprint(setting.data),
        "frame": "image",
        "normaliser": "inter-ocular",
        "boxes": "gt",
        "test_images": len(read_unlabelled(setting.data.test)),
        "weights": "random start, no ImageNet",
    }


def pictures(
    setting: Setting, tried: list[Tried], champion: Tried, frames: int, rounds: dict[str, dict[str, float]]
) -> None:
    """The curves and a sheet of test faces before and after."""
    start = champion.steps
    totals = {"naive": setting.lengths.naive_steps(frames), "stld": setting.lengths.stld_steps(frames)}
    totals["stld_plain"] = totals["stld"]
    lines = [refresh_plot.Line("supervised", [t.steps for t in tried], [t.test for t in tried])]
    lines[0].steps.append(start + totals["stld"])
    lines[0].nme.append(rounds["supervised"]["supervised"])
    for name, total in totals.items():
        ends = [value for stage, value in rounds[name].items() if not stage.endswith("pretrain")]
        at = [start + round(total * i / (len(ends) - 1)) for i in range(len(ends))]
        lines.append(refresh_plot.Line(name, at, ends))
    refresh_plot.curves(lines, setting.out / "refresh_faces.png")
    models = {"champion": setting.out / "champion", "stld": setting.out / "stld"}
    refresh_plot.faces(models, setting.data.test, setting.out / "refresh_faces_sheet.png")


if __name__ == "__main__":
    main()
