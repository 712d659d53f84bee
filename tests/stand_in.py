"""A small stand-in for `lmdeploy train` and `lmdeploy export`: same flags, resumable, deterministic, killable.

`train` does STAGES stages of STAND_IN_DELAY seconds, each kept in a file, so that a killed run goes on. `export` makes
a bundle from the factory's network (or a copy of STAND_IN_BUNDLE) whose version names the checkpoint's content.
STAND_IN_FAIL makes a command fail: parity, torch, crash or silent.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from pathlib import Path

STAGES = 4
FAILURES = {
    "parity": (3, "error: parity 0.5 px is over 0.02 px"),
    "torch": (2, "error: 'lmdeploy train' needs torch: pip install 'landmark-deploy[train]'"),
    "crash": (1, "Traceback: something broke"),
}


def main(arguments: list[str]) -> int:
    """Run `train` or `export`; returns the exit code."""
    command, *rest = arguments
    fail = os.environ.get("STAND_IN_FAIL", "")
    if fail in FAILURES and (fail == "parity") == (command == "export"):
        sys.stderr.write(FAILURES[fail][1] + "\n")
        return FAILURES[fail][0]
    return train(rest) if command == "train" else export(rest)


def write_file(path: Path, content: bytes) -> None:
    """lmdeploy.atomic without the import, so that the stand-in starts at once."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(path)


def train(rest: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("method")
    for flag in ("data", "labelled", "unlabelled", "boxes", "schema", "init", "seed", "out"):
        parser.add_argument(f"--{flag}", required=True)
    parser.add_argument("--threads")
    given = parser.parse_args(rest)
    out = Path(given.out)
    out.mkdir(parents=True, exist_ok=True)
    with (out / "starts.txt").open("a") as stream:
        stream.write(f"{os.getpid()} {os.environ.get('OMP_NUM_THREADS')}\n")
    if os.environ.get("STAND_IN_FAIL") == "silent":
        return 0
    content = b"".join(file.read_bytes() for file in [Path(given.labelled), Path(given.unlabelled) / "boxes.csv"])
    content += "".join(sorted(p.name for p in (Path(given.data) / "images").iterdir())).encode()
    about = {"init": given.init, "seed": given.seed, "method": Path(given.method).name}
    about["seen"] = hashlib.sha256(content).hexdigest()
    for stage in range(STAGES):
        sys.stdout.write(f"stage {stage}\n")
        sys.stdout.flush()
        if not (out / f"stage{stage}").exists():
            time.sleep(float(os.environ.get("STAND_IN_DELAY", "0")))
            write_file(out / f"stage{stage}", about["seen"].encode())
    write_file(out / "model.safetensors", json.dumps(about, sort_keys=True).encode())
    return 0


def export(rest: list[str]) -> int:
    from lmdeploy.bundle import read_bundle, write_bundle  # loading pydantic takes 0.3 s

    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint")
    parser.add_argument("-o")
    parser.add_argument("--images")
    given = parser.parse_args(rest)
    time.sleep(float(os.environ.get("STAND_IN_DELAY", "0")))
    assert any(Path(given.images).iterdir())
    raw = Path(given.checkpoint).read_bytes()
    # The path of the factory bundle differs from one copy of a site to the next; what it holds does not.
    about = json.loads(raw)
    base = read_bundle(os.environ.get("STAND_IN_BUNDLE") or about["init"])
    about["init"] = Path(about["init"]).name
    mark = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:8]
    files = {name: base.file(name).read_bytes() for name in base.manifest.files}
    write_bundle(Path(given.o), base.spec.model_copy(update={"version": f"0.2.0+{mark}"}), files)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
