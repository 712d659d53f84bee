"""The config.pbtxt that we write, read by Google's reader of the format; the README's commands."""

from __future__ import annotations

import pytest

from export.triton.config import Graph, Serving, config
from export.triton.pbtxt import Word, pbtxt
from export.triton.readme import readme
from tests.oracles.triton_config import parse

GRAPH = Graph(size=256, points=68, outputs=("points", "score", "spread", "nnm"))


def test_the_whole_config_of_the_onnxruntime_backend() -> None:
    found = parse(config("face68", "onnxruntime", GRAPH, Serving(device="gpu", instances=2, delay_us=500)))
    assert found == {
        "name": "face68",
        "backend": "onnxruntime",
        "max_batch_size": 32,
        # int64 and uint64 are text in protobuf's JSON
        "input": [{"name": "images", "data_type": "TYPE_UINT8", "dims": ["256", "256", "3"]}],
        "output": [
            {"name": "points", "data_type": "TYPE_FP32", "dims": ["68", "2"]},
            {"name": "score", "data_type": "TYPE_FP32", "dims": ["68"]},
            {"name": "spread", "data_type": "TYPE_FP32", "dims": ["68"]},
            {"name": "nnm", "data_type": "TYPE_FP32", "dims": ["68"]},
        ],
        "instance_group": [{"count": 2, "kind": "KIND_GPU"}],
        "dynamic_batching": {"preferred_batch_size": [4, 8, 16, 32], "max_queue_delay_microseconds": "500"},
    }


@pytest.mark.parametrize(
    ("backend", "device", "kind"),
    [
        ("onnxruntime", "cpu", "KIND_CPU"),
        ("tensorrt", "auto", "KIND_GPU"),
        ("tensorrt", "gpu", "KIND_GPU"),
        ("python", "auto", "KIND_CPU"),
        ("python", "gpu", "KIND_CPU"),  # the copied model.py asks for the CPU
    ],
)
def test_each_backend_runs_where_it_can(backend: str, device: str, kind: str) -> None:
    found = parse(config("x", backend, GRAPH, Serving.model_validate({"device": device})))
    assert found["backend"] == backend
    assert found["instance_group"] == [{"count": 1, "kind": kind}]


def test_auto_is_the_servers_own_choice() -> None:
    text = config("x", "onnxruntime", GRAPH, Serving())
    assert "kind: KIND_AUTO" in text
    assert parse(text)["instance_group"] == [{"count": 1}]  # 0, the enum's default


@pytest.mark.parametrize(
    ("largest", "preferred"), [(1, [1]), (3, [3]), (4, [4]), (20, [4, 8, 16]), (64, [4, 8, 16, 32, 64])]
)
def test_preferred_sizes_are_never_over_the_largest_batch(largest: int, preferred: list[int]) -> None:
    found = parse(config("x", "tensorrt", GRAPH, Serving(max_batch=largest)))
    assert found["max_batch_size"] == largest
    assert found["dynamic_batching"]["preferred_batch_size"] == preferred


@pytest.mark.parametrize("text", ['a"b', "a\\n", "two\nlines", "tab\t", "Gesicht é 顔", "", "\x00\x7f", "'"])
def test_every_string_comes_back(text: str) -> None:
    assert parse(pbtxt({"name": text})).get("name", "") == text


def test_numbers_words_and_repeated_messages() -> None:
    text = pbtxt({"max_batch_size": 7, "input": [{"dims": [1]}, {"data_type": Word("TYPE_FP32")}], "output": {}})
    assert parse(text) == {
        "max_batch_size": 7,
        "input": [{"dims": ["1"]}, {"data_type": "TYPE_FP32"}],
        "output": [{}],
    }
    assert pbtxt({"yes": True, "no": False}) == "yes: true\nno: false\n"


def test_the_readme_spells_out_how_an_engine_is_built() -> None:
    text = readme("face68", GRAPH, Serving(version=3, max_batch=20)).decode()
    for words in (
        "version=3\n",
        "--onnx=face68/$version/model.onnx",
        "--minShapes=images:1x256x256x3 --optShapes=images:8x256x256x3",
        "--maxShapes=images:20x256x256x3",
        "mv model.plan face68_tensorrt/$version/",
        "| `points` | FP32 | [B, 68, 2] |",
        "| `score` | FP32 | [B, 68] |",
        "--load-model face68\n",
    ):
        assert words in text
    assert "face68_python" not in text
    assert "\n\n\n" not in text
    of_a_processor = readme("face68", GRAPH, Serving(device="cpu", python=True)).decode()
    assert "trtexec" not in of_a_processor
    assert "face68_python" in of_a_processor
