"""Several processes through ``torchrun``; with one process all of this does nothing."""

from __future__ import annotations

import os

import torch
from torch import nn

from ftpcli.errors import UsageError


def rank_and_world() -> tuple[int, int]:
    """This process's number and how many there are, from torchrun's environment."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def own_device(device: torch.device) -> torch.device:
    """The device of this process: of several GPUs that of its number on this machine.

    Raises:
        UsageError: this machine has fewer GPUs than processes.
    """
    if device.type != "cuda" or device.index is not None or rank_and_world()[1] == 1:
        return device
    local, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= count:
        raise UsageError(f"process {local + 1} on this machine has no GPU: there are {count}; lower --nproc-per-node")
    return torch.device("cuda", local)


def start(device: str) -> None:
    """Join the group that torchrun announced."""
    if device.startswith("cuda:"):  # what nccl sends goes through the current device
        torch.cuda.set_device(device)
    if rank_and_world()[1] > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")


def stop() -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def wrap(model: nn.Module) -> nn.Module:
    """The model, its gradients averaged over the processes where there are several."""
    if rank_and_world()[1] == 1:
        return model
    return nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)


def any_process(flag: bool) -> bool:
    """True in all processes where it is true in one, so that they stop at the same step."""
    return over_all(float(flag)) > 0


def over_all(value: float) -> float:
    """The sum of what all processes give."""
    if rank_and_world()[1] == 1:
        return value
    total = torch.tensor([value], dtype=torch.float64)
    if torch.distributed.get_backend() == "nccl":
        total = total.cuda()
    torch.distributed.all_reduce(total)
    return float(total.item())
