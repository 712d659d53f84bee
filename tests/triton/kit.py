"""The real tritonserver of the wheel nvidia-pytriton, as a process; and KServe v2 requests by hand."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lmdeploy.types import U8, Array

START_S = 120
WHERE = (
    "import json, sys, sysconfig; "
    "print(json.dumps([sysconfig.get_path('purelib'), sys.base_prefix, '%d.%d' % sys.version_info[:2]]))"
)


@dataclass(frozen=True)
class Wheel:
    """Where the environment with nvidia-pytriton keeps what its server needs."""

    python: Path
    packages: Path
    prefix: Path
    version: str

    @classmethod
    def of(cls, environment: Path) -> Wheel:
        python = environment / "bin" / "python"
        packages, prefix, version = json.loads(subprocess.check_output([python, "-c", WHERE], text=True))
        return cls(python, Path(packages), Path(prefix), version)

    def backends(self, folder: Path) -> Path:
        """The Python backend with the stub of this environment's Python: the wheel has one for each version."""
        server = self.packages / "pytriton" / "tritonserver"
        (folder / "python").mkdir(parents=True)
        stub = server / "python_backend_stubs" / self.version / "triton_python_backend_stub"
        for file in [*(server / "backends" / "python").iterdir(), stub]:
            (folder / "python" / file.name).symlink_to(file)
        return folder

    def variables(self) -> dict[str, str]:
        """The stub finds its packages through the first python3 of PATH, and loads libpython by name alone.

        Without these it may meet another Python's library, or that of this Python without its packages.
        """
        libraries = [self.prefix / "lib", self.packages / "nvidia_pytriton.libs"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return {
            **kept,
            "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
            "PATH": f"{self.python.parent}:{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
        }


class Server:
    """A running tritonserver with the models that it was told to load; a context that ends with the process."""

    def __init__(self, wheel: Wheel, repository: Path, scratch: Path, *words: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = scratch / "server.log"
        command = [
            str(wheel.packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"),
            f"--model-repository={repository}",
            f"--backend-directory={wheel.backends(scratch / 'backends')}",
            "--http-address=127.0.0.1",
            f"--http-port={self.port}",
            "--allow-grpc=false",
            "--allow-metrics=false",
            *words,
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=wheel.variables(), stdout=log, stderr=subprocess.STDOUT)

    def __enter__(self) -> Server:
        """Wait until the server answers; its log is the error when it ends or takes too long."""
        end = time.monotonic() + START_S
        while time.monotonic() < end and self.process.poll() is None:
            with suppress(OSError), urllib.request.urlopen(self.url("health/ready"), timeout=5):
                return self
            time.sleep(0.1)
        self.__exit__()
        raise AssertionError(f"the server did not start:\n{self.log.read_text()[-4000:]}")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/v2/{path}".rstrip("/")

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url(path), timeout=60) as answer:
            return json.load(answer)

    def infer(self, model: str, crops: U8, *names: str, version: int | None = None) -> dict[str, Array]:
        """Outputs by name (all, unless named) of u8[b,S,S,3], over the protocol's binary extension."""
        about: dict[str, Any] = {
            "inputs": [
                {
                    "name": "images",
                    "datatype": "UINT8",
                    "shape": crops.shape,
                    "parameters": {"binary_data_size": crops.nbytes},
                }
            ],
            "parameters": {"binary_data_output": True},
        }
        if names:
            about["outputs"] = [{"name": name, "parameters": {"binary_data": True}} for name in names]
        head = json.dumps(about).encode()
        path = f"models/{model}/versions/{version}/infer" if version else f"models/{model}/infer"
        kind = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
        body, headers = self.post(path, head + crops.tobytes(), kind)
        return _outputs(body, int(headers["Inference-Header-Content-Length"]))

    def post(self, path: str, body: bytes = b"{}", headers: dict[str, str] | None = None) -> tuple[bytes, Any]:
        """Body and headers of the answer; a RuntimeError with the server's words where it refuses."""
        try:
            request = urllib.request.Request(self.url(path), body, headers or {})
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(error.read().decode()) from error


def _outputs(body: bytes, head: int) -> dict[str, Array]:
    found, at = {}, head
    for output in json.loads(body[:head])["outputs"]:
        assert output["datatype"] == "FP32", output
        size = output["parameters"]["binary_data_size"]
        found[output["name"]] = np.frombuffer(body[at : at + size], np.float32).reshape(output["shape"])
        at += size
    assert at == len(body)
    return found
