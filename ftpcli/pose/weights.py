"""Model weights as safetensors: configuration, joint names and provenance stand in the file's header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftpcli.errors import InputError, UsageError
from ftpcli.files.inputs import require_file
from ftpcli.files.tensors import read_tensors, write_tensors
from ftpcli.model.config import ModelConfig

if TYPE_CHECKING:
    import torch

    from ftpcli.model.ftp_pose import FTPPose

FORMAT = "ftp-pose"
_ENTRY = "ftp"
ASSETS = Path(__file__).resolve().parent.parent / "assets"
DEFAULT_WEIGHTS = ASSETS / "ftp-pose-tiny.safetensors"


def weights_path(name: str | Path) -> Path:
    """The file behind a ``--weights`` value: ``default`` is the bundled one. Raises InputError where it is missing."""
    path = DEFAULT_WEIGHTS if str(name) == "default" else Path(name)
    require_file(path)
    return path


def save_weights(path: Path, state: dict[str, torch.Tensor], config: ModelConfig, provenance: dict[str, Any]) -> None:
    """Write a state dictionary, its floating-point tensors as fp16.

    Raises:
        OutputError: the file cannot be written.
    """
    # One entry: safetensors writes several in an order that changes from run to run.
    content = {"format": FORMAT, "config": config.to_dict(), "provenance": provenance}
    write_tensors(path, state, {_ENTRY: json.dumps(content, sort_keys=True)})


def load_weights(path: Path) -> tuple[ModelConfig, dict[str, torch.Tensor], dict[str, Any]]:
    """Configuration, fp32 tensors and provenance of a weights file; raises InputError."""
    tensors, header = read_tensors(path)
    entry = header.get(_ENTRY)
    try:
        content = json.loads(entry) if isinstance(entry, str) else {}
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise InputError(f"{path}: not pose weights of this program; give a file made by 'ftp train'")
        config = ModelConfig.from_dict(content["config"])
        provenance = dict(content.get("provenance") or {})
    except (ValueError, KeyError, TypeError, AttributeError, UsageError, RecursionError) as error:
        raise InputError(f"{path}: the weights' header is damaged ({error}); copy the file again") from error
    return config, tensors, provenance


def build_model(path: Path, **changes: Any) -> tuple[FTPPose, dict[str, Any]]:
    """The model in evaluation mode with the file's weights, and its provenance; raises InputError.

    ``changes`` override options of the stored configuration that leave its tensors as they are.
    """
    from ftpcli.model.ftp_pose import FTPPose

    config, state, provenance = load_weights(path)
    model = FTPPose(config.replace(**changes))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"{path}: the tensors do not fit the file's own configuration; copy it again") from error
    return model.eval(), provenance


def transfer(model: FTPPose, state: dict[str, torch.Tensor]) -> tuple[list[str], list[str]]:
    """Copy every tensor of the same name and shape into the model; names taken and names left as they were.

    A position embedding of another 4:3 crop size is resampled to the model's.
    """
    from timm.layers import resample_abs_pos_embed

    own = model.state_dict()
    state = dict(state)
    name = "backbone.vit.pos_embed"
    if name in state and state[name].shape[1] != own[name].shape[1] and state[name].shape[2] == own[name].shape[2]:
        side = round(((state[name].shape[1] - 1) / 12) ** 0.5)  # crops are 4:3
        if 12 * side * side == state[name].shape[1] - 1:
            grid = list(model.config.grid)
            state[name] = resample_abs_pos_embed(state[name], grid, [4 * side, 3 * side], num_prefix_tokens=1)
    taken = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    model.load_state_dict(taken, strict=False)
    return sorted(taken), sorted(set(own) - set(taken))
