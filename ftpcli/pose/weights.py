"""Model weights as safetensors: configuration, joint names and provenance stand in the file's header."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftpcli.errors import InputError, OutputError, UsageError
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
    if not path.is_file():
        raise InputError(f"{path}: no such weights file; give --weights a .safetensors file made by 'ftp train'")
    return path


def sha256(path: Path) -> str:
    """Of the whole file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_weights(
    path: Path, state: dict[str, torch.Tensor], config: ModelConfig, provenance: dict[str, Any], *, half: bool = True
) -> None:
    """Write a state dictionary under a temporary name and move it into place.

    Args:
        half: store floating-point tensors as fp16 (they are loaded as fp32).

    Raises:
        OutputError: the file cannot be written.
    """
    from safetensors.torch import save

    tensors = {
        name: (value.half() if half and value.is_floating_point() else value).contiguous()
        for name, value in state.items()
    }
    # One entry: safetensors writes several in an order that changes from run to run.
    content = {"format": FORMAT, "config": config.to_dict(), "provenance": provenance}
    metadata = {_ENTRY: json.dumps(content, sort_keys=True)}
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(save(tensors, metadata=metadata))
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"{path}: weights cannot be written ({error}); free space or choose another place") from error


def load_weights(path: Path) -> tuple[ModelConfig, dict[str, torch.Tensor], dict[str, Any]]:
    """Configuration, fp32 tensors and provenance of a weights file; raises InputError."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        entry = (json.loads(content[8 : 8 + length]).get("__metadata__") or {}).get(_ENTRY)
        tensors = load(content)
    except OSError as error:
        raise InputError(f"{path}: weights cannot be read ({error.strerror})") from error
    except (SafetensorError, ValueError, AttributeError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise InputError(
            f"{path}: not a whole safetensors weights file; give a file made by 'ftp train', or copy it again"
        ) from error
    try:
        header = json.loads(entry) if isinstance(entry, str) else {}
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise InputError(f"{path}: not pose weights of this program; give a file made by 'ftp train'")
        config = ModelConfig.from_dict(header["config"])
        provenance = dict(header.get("provenance") or {})
    except (ValueError, KeyError, TypeError, AttributeError, UsageError, RecursionError) as error:
        raise InputError(f"{path}: the weights' header is damaged ({error}); copy the file again") from error
    return config, {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}, provenance


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
