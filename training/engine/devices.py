"""Opens Lightning Fabric for one device, or for one process of several on one or more machines.

Who started the processes (`--devices`, torchrun, SLURM) is read from the environment, in torchrun's variables.
"""

from __future__ import annotations

import os
import shutil
import sys
from datetime import timedelta
from typing import NamedTuple

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from timm.layers.norm_act import convert_sync_batchnorm
from torch import nn

from lmdeploy.errors import DeviceError, InputError
from training.engine import processes
from training.engine.predictor import pick_device

PATIENCE = timedelta(days=1)  # others wait while the first process decodes a large data set
WANTED = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}


class Replicas(DDPStrategy):
    """DDP's processes without its wrapper; `fit` averages the gradients.

    The wrapper wants every output in the loss, one forward per step and nothing but forward called: two heads,
    teachers and several views of a sample keep none of that.
    """

    def setup_module(self, module: nn.Module) -> nn.Module:  # type: ignore[override]  # the wrapper is left out
        """The module itself."""
        return module


class Launched(NamedTuple):
    """This process is `rank` of `world`, of which `local` are on this machine."""

    rank: int = 0
    world: int = 1
    local: int = 1


def launched() -> Launched:
    """What the launcher says; a single process where there was none. SLURM's variables become torchrun's."""
    env = os.environ
    if not env.keys() >= WANTED and int(env.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        env.update(_from_slurm())
    if not env.keys() >= WANTED:
        return Launched()
    return Launched(int(env["RANK"]), int(env["WORLD_SIZE"]), int(env["LOCAL_WORLD_SIZE"]))


def _from_slurm() -> dict[str, str]:
    """The variables of torchrun for a task that srun started; the job's number gives all tasks the same free port."""
    env = os.environ
    tasks, nodes = int(env["SLURM_STEP_NUM_TASKS"]), int(env.get("SLURM_STEP_NUM_NODES", "1"))
    if tasks % nodes:
        raise InputError(f"{tasks} tasks on {nodes} nodes: give srun --ntasks-per-node, so that each runs as many")
    address = SLURMEnvironment.resolve_root_node_address(env.get("SLURM_STEP_NODELIST", "127.0.0.1"))
    return {
        "RANK": env["SLURM_PROCID"], "LOCAL_RANK": env["SLURM_LOCALID"], "GROUP_RANK": env.get("SLURM_NODEID", "0"),
        "WORLD_SIZE": str(tasks), "LOCAL_WORLD_SIZE": str(tasks // nodes),
        "MASTER_ADDR": env.get("MASTER_ADDR", address),
        "MASTER_PORT": env.get("MASTER_PORT", str(15000 + int(env.get("SLURM_JOB_ID", "0")) % 10000)),
    }  # fmt: skip


def open_fabric(device: str, precision: str, devices: int | None) -> Fabric:
    """Fabric on one device; in one of several processes it is connected to the others on return.

    Args:
        device: `auto`, `cpu` or `cuda`.
        precision: `auto`, `32` or `bf16`.
        devices: processes on this machine; None: as many as were launched.
    Errors: DeviceError for more devices than there are, InputError when the launcher started another number.
    """
    where, mine = pick_device(device), launched()
    kind = _precision(precision, where)
    if mine.world == 1:
        return Fabric(accelerator=where.type, devices=1, precision=kind)  # type: ignore[arg-type]  # a plain str
    if devices not in (None, mine.local):
        raise InputError(f"--devices {devices}, but {mine.local} processes were started here: leave it out")
    enough_devices(where, mine.local)
    strategy = Replicas(cluster_environment=TorchElasticEnvironment(), timeout=PATIENCE)
    fabric = Fabric(
        accelerator=where.type, devices=mine.local, num_nodes=mine.world // mine.local, strategy=strategy,
        precision=kind,  # type: ignore[arg-type]  # a plain str
    )  # fmt: skip
    fabric.launch()
    return fabric


def enough_devices(where: torch.device, wanted: int) -> None:
    """DeviceError where fewer GPUs are seen than processes want one each."""
    if where.type == "cuda" and torch.cuda.device_count() < wanted:
        raise DeviceError(f"{wanted} processes, but PyTorch sees {torch.cuda.device_count()} CUDA devices")


def share_norms(network: nn.Module, device: torch.device) -> nn.Module:
    """Batch norm over the batches of all processes on GPUs; on processors each process has its own statistics."""
    if processes.share().world == 1 or device.type != "cuda":
        return network
    shared: nn.Module = convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]  # timm gives no types
    return shared


def check_compiler(device: torch.device) -> None:
    """InputError where torch.compile would not find the compiler that it calls."""
    default = "cc" if device.type == "cuda" else "clang++" if sys.platform == "darwin" else "g++"
    wanted = os.environ.get("CC" if device.type == "cuda" else "CXX", default)
    if shutil.which(wanted) is None:
        raise InputError(f"--compile needs a compiler, and there is no {wanted}: install it, or leave --compile out")


def compiled(module: nn.Module, device: torch.device) -> nn.Module:
    """The module through torch.compile, on a GPU as CUDA graphs; it shares its weights, so checkpoints stay plain."""
    mode = "reduce-overhead" if device.type == "cuda" else "default"
    fast: nn.Module = torch.compile(module, mode=mode)  # type: ignore[assignment]  # a module in, a module out
    return fast


def _precision(name: str, device: torch.device) -> str:
    if name == "auto":
        fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else _cpu_has_bf16()
        name = "bf16" if fast else "32"
    return "bf16-mixed" if name == "bf16" else "32-true"


def _cpu_has_bf16() -> bool:
    """Autocast to bf16 pays only where the processor multiplies it natively."""
    return "AVX512" in torch.backends.cpu.get_cpu_capability() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
