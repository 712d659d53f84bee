"""card.md of a bundle: what the model is, what it was trained on and how good it was measured to be."""

from __future__ import annotations

from export.measured import TITLES
from export.parity import Parity
from lmdeploy.bundle import Measured, ModelSpec

LIMITS = """## Limits

This is no medical device. Accuracy on people, cameras and poses other than those above is unknown: measure it with
`lmdeploy evaluate` on your own labels, and retrain on your own data before you build a product on it.
"""


SCORES = {
    "peak": "The score is the clipped height of the heatmap's peak, or the agreement of the two coordinate heads.",
    "calibrated": "The score is the probability that a point's error is under 5 % of the normaliser, fitted on labels "
    "that training had not seen.",
}


def card(spec: ModelSpec, measured: tuple[Measured, ...], parities: tuple[Parity, ...], note: str = "") -> str:
    """Markdown text; `note` is the maker's own section on the data and its rights."""
    crop = spec.crop
    head = (
        f"# {spec.name} {spec.version}\n\n"
        f"{spec.landmarks.points} landmarks ({spec.landmarks.name}) on a {crop.size} x {crop.size} crop ({crop.kind}, "
        f"{crop.scale} times the landmark box); method {spec.method}, codec {spec.codec}.\n"
    )
    if spec.parts:
        inside = ", ".join(f"{part.label} ({part.landmarks.points})" for part in spec.parts)
        head += f"\nIt finds the points of several schemas, one of which is asked for by name: {inside}.\n"
    data = "\n".join(
        f"- {d.name}: {d.images} {'labelled' if d.labelled else 'unlabelled'} images; licence: {d.licence}"
        for d in spec.data
    )
    parts = [head, f"## Trained on\n\n{data}\n", note, f"## Measured\n\n{_table(measured)}\n"]
    exported = "\n".join(f"Export: {parity.sentence()}.\n" for parity in parities)
    ends = [exported, f"{SCORES[spec.score_kind]}\n", LIMITS, _by_landmark(spec, parities)]
    return "\n".join([*(part for part in parts if part), *(end for end in ends if end)])


def _table(measured: tuple[Measured, ...]) -> str:
    """One row per test set and box source, one column per metric."""
    if not measured:
        return "Nothing was recorded at export; run `lmdeploy evaluate`.\n"
    columns = [title for title, _ in TITLES.values() if any(m.metric == title for m in measured)]
    rows = ["| test set | boxes | images | " + " | ".join(columns) + " |", "|---" * (3 + len(columns)) + "|"]
    for test_set, boxes, images in dict.fromkeys((m.test_set, m.boxes, m.images) for m in measured):
        cells = {
            m.metric: f"{m.value:.2f} {m.unit}".strip() for m in measured if (m.test_set, m.boxes) == (test_set, boxes)
        }
        rows.append(f"| {test_set} | {boxes} | {images} | " + " | ".join(cells.get(c, "") for c in columns) + " |")
    first = measured[0]
    return "\n".join(
        [*rows, "", f"Errors are divided by the {first.normaliser} distance, in the {first.frame} frame.\n"]
    )


def _by_landmark(spec: ModelSpec, parities: tuple[Parity, ...]) -> str:
    """Every landmark's 99th percentile of the distance to PyTorch, a column a file; nothing for fp32 alone."""
    parities = tuple(parity for parity in parities if not parity.precision.startswith("frame"))
    if len(parities) < 2:
        return ""
    names = [parity.precision for parity in parities]
    rows = ["| landmark | " + " | ".join(names) + " |", "|---" * (1 + len(names)) + "|"]
    for k, name in enumerate(spec.landmarks.names):
        values = " | ".join(f"{parity.per_landmark_p99_px[k]:.3f}" for parity in parities)
        rows.append(f"| {k} {name} | {values} |")
    about = "99th percentile of the distance to PyTorch fp32, crop px."
    return "\n".join(["## Parity by landmark\n", f"{about}\n", *rows, ""])
