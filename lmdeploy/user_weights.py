"""A user's .pth as safetensors; the reader lives in training, found through the group `lmdeploy.weights`."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from lmdeploy.errors import MissingExtraError, is_ours

GROUP = "lmdeploy.weights"
MISSING = "converting weights needs PyTorch: pip install 'landmark-deploy[train]'"


def convert_weights(source: Path, out: Path) -> int:
    """Write the tensors of a .pth, .pt or .pkl to `out`, without running code in it; how many they are."""
    for point in entry_points(group=GROUP):
        try:
            convert = point.load()
        except ModuleNotFoundError as error:
            if is_ours(error):
                raise
            raise MissingExtraError(MISSING) from error
        return int(convert(source, out))
    raise MissingExtraError(MISSING)
