"""Checkpoints of a detector training: one safetensors file of tensors and a small JSON file that makes it valid."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ftpcli.errors import InputError

_STATE = "state.json"


def save_checkpoint(
    folder: Path, networks: dict[str, nn.Module], optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """Write networks, optimizer and ``state`` (JSON; has "step"). The older checkpoint goes once this one is whole."""
    folder.mkdir(exist_ok=True)
    name = f"{state['step']}.safetensors"
    tensors = {f"{kind}.{k}": v for kind, network in networks.items() for k, v in network.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in values.items()}
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / name)
    partial = folder / f"{_STATE}.partial"
    partial.write_text(json.dumps({"tensors": name, **state}), encoding="utf-8")
    os.replace(partial, folder / _STATE)
    for old in folder.glob("*.safetensors"):
        if old.name != name:
            old.unlink()


def read_checkpoint(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]] | None:
    """State and tensors of a checkpoint; None where there is none.

    Raises:
        InputError: it is damaged.
    """
    path = folder / _STATE
    if not path.exists():
        return None
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        return state, load_file(folder / state["tensors"])
    except Exception as error:
        raise InputError(f"{path}: the checkpoint cannot be read ({error}); remove the folder to begin anew") from error


def restore_checkpoint(
    tensors: dict[str, torch.Tensor], networks: dict[str, nn.Module], optimizer: torch.optim.Optimizer
) -> None:
    """Put the tensors of `read_checkpoint` back into networks and optimizer."""
    for kind, network in networks.items():
        network.load_state_dict({k.partition(".")[2]: v for k, v in tensors.items() if k.startswith(f"{kind}.")})
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    states: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        if not key.startswith("optimizer."):
            continue
        _, index, rest = key.split(".", 2)
        if tensor.ndim:  # in the parameter's own memory order, which decides the order of sums
            tensor = torch.empty_like(parameters[int(index)]).copy_(tensor)
        states.setdefault(int(index), {})[rest] = tensor
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
