"""Every kind of graph that an export can write, by the recipe whose network it is, and their operators as goldens.

The goldens are of what the exporter writes; tests derive the rewritten, half and 8-bit files from it.

python -m tests.tensorrt_kit.graphs [NAME ...]     writes the goldens again (HRNet takes minutes)
"""

from __future__ import annotations

import json
import sys
from importlib import resources
from pathlib import Path
from typing import Any

from lmdeploy.bundle import ModelSpec
from lmdeploy.geometry import CropRule
from lmdeploy.schema import load_schema
from tests.tensorrt_kit.operators import summarise

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "operators"
BUILT_IN = "face68"
FRAMED = "face68_frame"  # takes whole frames
QUICK = {
    "hm_r18": "stld_hm_r18",
    "tf_r18": "stld/300w_1.6/stld_tf_r18",
    "vanilla_sepbn": "sepbn/aflw/vanilla_sepbn",
}
"""Exported in every test run."""
SLOW = {
    "branches_sepbn": "cnt/aflw/vanilla_sepbn",
    "brute_force": "brute_force",
    "comm_mt": "seq_mt/300w_10/comm_mt_l",
    "cpm": "ts3/300w_10/cpm",
    "fabrec": "fabrec",
    "heatmap_mt": "seq_mt/300w_10/heatmap_mt_l",
    "hm_hrnet": "stld/300w_1.6/stld_hm_hrnet",
    "hm_sepbn": "stld_sepbn",
    "hm_vit": "stld/300w_1.6/mae_vit",
    "hourglass": "ts3/300w_10/hg",
    "hybrid": "hybridmatch",
    "mobilenet_sepbn": "sepbn/aflw/mobilenetv2_sepbn",
    "pipnet": "stc",
    "rcn": "seq_mt/300w_10/rcn_l",
    "rcn_plain": "seq_mt/hgr1_100/rcn_plain_l",
    "resnext_sepbn": "sepbn/aflw/resnext50_sepbn",
    "scaf": "scaf/300w_10/scaf",
    "scaf_subpixel": "scaf",
    "seq_mt": "seq_mt/300w_10/seq_mt_l",
    "tf_hrnet": "stld/300w_1.6/stld_tf_hrnet",
    "ts3": "spaco",
    "vanilla_bn": "sepbn/aflw/vanilla_bn",
    "vanilla_brute_force": "sepbn/aflw/vanilla_brute_force",
    "vanilla_hard": "sepbn/aflw/vanilla_hard",
}
"""Exported under the marker `slow` only."""
RECIPES = QUICK | SLOW
NOT_TAKEN = {"hm_vit": "Resize"}
"""What the parser does not take, and the only operator at fault: a ViT of 224 px on another crop resamples its
positions with a cubic Resize in the graph. ONNX Runtime
runs such a model; `img_size` in its options may avoid the Resize."""


def export(name: str) -> bytes:
    """The ONNX file of a graph, with random weights and 19 points."""
    if name == BUILT_IN:
        return (resources.files("lmdeploy") / "models" / BUILT_IN / "model.onnx").read_bytes()
    if name == FRAMED:
        from export.surgery import operate
        from export.surgery.whole_frames import take_whole_frames

        return take_whole_frames(operate(export(BUILT_IN)))
    import torch

    from export.to_onnx import to_onnx
    from training import recipe
    from training.models import build

    torch.set_num_threads(1)
    told = recipe.load(RECIPES[name])
    network = build(told.network.model_copy(update={"pretrained": False}), 19).eval()
    crop = CropRule(size=told.crop.size)
    spec = ModelSpec(name=name, landmarks=load_schema("aflw19"), crop=crop, codec=told.codec, method=told.method)
    return to_onnx(network, spec)


def golden(name: str) -> dict[str, Any]:
    """The summary that is kept of a graph."""
    value: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return value


def write(name: str) -> None:
    """Export and keep the summary."""
    (FOLDER / f"{name}.json").write_text(text(summarise(export(name))))


def text(summary: dict[str, Any]) -> str:
    """JSON with one line for each operator."""
    rest = {key: value for key, value in summary.items() if key != "operators"}
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in summary["operators"].items())
    return json.dumps(rest)[:-1] + ', "operators": {\n' + lines + "\n}}\n"


if __name__ == "__main__":
    for each in sys.argv[1:] or [BUILT_IN, FRAMED, *RECIPES]:
        write(each)
        sys.stderr.write(f"{each}\n")
