"""card.md of a bundle: what the model is, what it was trained on and how good it was measured to be."""

from __future__ import annotations

from export.parity import Parity
from lmdeploy.bundle import Measured, ModelSpec


def card(spec: ModelSpec, measured: tuple[Measured, ...], parity: Parity) -> str:
    """Markdown text."""
    crop = spec.crop
    lines = [
        f"# {spec.name} {spec.version}",
        "",
        f"{spec.landmarks.points} landmarks ({spec.landmarks.name}) on a {crop.size} x {crop.size} crop "
        f"({crop.kind}, {crop.scale} times the landmark box); method {spec.method}, codec {spec.codec}.",
        "",
        "## Trained on",
        "",
        *(
            f"- {d.name}: {d.images} {'labelled' if d.labelled else 'unlabelled'} images; licence: {d.licence}"
            for d in spec.data
        ),
        "",
        "## Measured",
        "",
        *([_row(m) for m in measured] or ["Nothing was recorded at export; run `lmdeploy evaluate`."]),
        "",
        f"Export: {parity.sentence()}.",
        "",
        "## Limits",
        "",
        "This is no medical device. Accuracy on people, cameras and poses other than those above is unknown: "
        "measure it with `lmdeploy evaluate` on your own labels, and retrain on your own data before you build a "
        "product on it.",
        "",
    ]
    return "\n".join(lines)


def _row(m: Measured) -> str:
    return (
        f"- {m.metric} {m.value:.2f} {m.unit} on {m.test_set} ({m.images} images, normaliser {m.normaliser}, "
        f"{m.frame} frame, boxes: {m.boxes})"
    )
