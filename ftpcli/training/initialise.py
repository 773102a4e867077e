"""What a model may start from, by file: foreign checkpoints of plain ViTs (timm, MAE, ViTPose) or our weights for its
backbone, EfficientNet's or MoveNet's for its stem."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from timm.layers import resample_abs_pos_embed

from ftpcli.errors import InputError, UsageError
from ftpcli.files.inputs import require_file
from ftpcli.files.tensors import read_tensors
from ftpcli.model.backbone import Backbone, EfficientNetStem
from ftpcli.model.config import ModelConfig
from ftpcli.training.movenet_weights import movenet_state

_WRAPPERS = ("model", "state_dict", "module", "model_ema")
_PREFIXES = ("module.", "backbone.vit.", "backbone.", "encoder.", "vit.")


def starting_state(
    config: ModelConfig, backbone_weights: Path | None, stem_weights: Path | None
) -> dict[str, torch.Tensor]:
    """The model's tensors, by name, that these files hold.

    Raises:
        UsageError: the stem takes no weights, or what reads them is not installed.
        InputError: unreadable, or of another network.
    """
    own = Backbone(config.backbone, config.image_size, config.stem, depth=config.depth)
    state: dict[str, torch.Tensor] = {}
    if backbone_weights is not None:
        state |= backbone_state(backbone_weights, own)
    if stem_weights is not None and config.stem != "movenet":
        state |= stem_state(stem_weights, own)
    state = {f"backbone.vit.{name}": value for name, value in state.items()}
    if stem_weights is not None and config.stem == "movenet":
        state |= movenet_state(stem_weights, config.head_width, config.joints)
    return state


def backbone_state(path: Path, backbone: Backbone) -> dict[str, torch.Tensor]:
    """Tensors of a ViT checkpoint under our backbone's names, position embedding resampled to its grid.

    Known forms: our own weights; timm's names; MAE (``{"model": ...}``, decoder ignored); ViTPose
    (``{"state_dict": ...}``, ``backbone.`` prefix, ``last_norm`` for the final norm).
    ``.safetensors`` or a checkpoint of tensors; a pickle of anything else is refused.

    Raises:
        InputError: unreadable, or its blocks are not those of the backbone; the message names what differs.
    """
    found = _strip(_read(path))
    own = backbone.vit.state_dict()
    taken: dict[str, torch.Tensor] = {}
    for name, value in found.items():
        name = name.replace("last_norm.", "norm.")
        if name == "pos_embed" and name in own:
            value = _resampled(path, value, backbone)
        if name in own and own[name].shape == value.shape:
            taken[name] = value.float()
    missing = [name for name in own if name.startswith("blocks.") and name not in taken]
    if missing:
        at = missing[0]
        have = tuple(found[at].shape) if at in found else "absent"
        raise InputError(
            f"{path}: not a checkpoint of this backbone ({len(missing)} block tensors do not fit, first {at}: "
            f"{have}, wanted {tuple(own[at].shape)}); name the matching --backbone"
        )
    return taken


#: Names of the EfficientNet-PyTorch port (a flat list of blocks), by timm's; a block without expansion has its own.
_PORT = {
    "_depthwise_conv": "conv_dw",
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_PORT_START = {"_conv_stem": "conv_stem", "_bn0": "bn1"}
_PORT_PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def stem_state(path: Path, backbone: Backbone) -> dict[str, torch.Tensor]:
    """Tensors of an EfficientNet-Lite0 classifier under the names of our stem, which keeps its first stages.

    Known forms: timm's names (``tf_efficientnet_lite0``), and those of the EfficientNet-PyTorch port.

    Raises:
        UsageError: the backbone's stem is another one.
        InputError: unreadable, or not this network; the message names what differs.
    """
    stem = backbone.vit.patch_embed.proj  # type: ignore[union-attr]
    if not isinstance(stem, EfficientNetStem):
        raise UsageError("weights for the stem need --stem efficientnet or movenet")
    found = {name.removeprefix("module."): value for name, value in _tensors(_read(path)).items()}
    if any(name.startswith("_blocks.") for name in found):
        found = _from_port(found, stem)
    own = stem.net.state_dict()
    wrong = [name for name in own if name not in found or found[name].shape != own[name].shape]
    if wrong:
        raise InputError(
            f"{path}: not a checkpoint of {stem.NAME} ({len(wrong)} of {len(own)} tensors do not fit, first {wrong[0]})"
        )
    return {f"patch_embed.proj.net.{name}": found[name].to(own[name].dtype) for name in own}


def _from_port(found: dict[str, torch.Tensor], stem: EfficientNetStem) -> dict[str, torch.Tensor]:
    places = [(s, b, block) for s, stage in enumerate(stem.net.blocks) for b, block in enumerate(stage)]
    renamed: dict[str, torch.Tensor] = {}
    for name, value in found.items():
        first, _, rest = name.partition(".")
        if first in _PORT_START:
            renamed[f"{_PORT_START[first]}.{rest}"] = value
        elif first == "_blocks":
            number, part, tail = rest.split(".", 2)
            if int(number) < len(places):
                stage, index, block = places[int(number)]
                names = _PORT if hasattr(block, "conv_pwl") else _PORT_PLAIN
                renamed[f"blocks.{stage}.{index}.{names.get(part, part)}.{tail}"] = value
    return renamed


def _read(path: Path) -> Any:
    require_file(path)
    if path.suffix == ".safetensors":
        return read_tensors(path)[0]
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: holds more than tensors, so opening it could run code; save its state dictionary alone"
        ) from error
    except Exception as error:  # torch raises many kinds for damaged files
        raise InputError(f"{path}: cannot be read as a checkpoint ({type(error).__name__})") from error


def _tensors(content: Any) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint, however it is wrapped."""
    while isinstance(content, dict) and not any(isinstance(v, torch.Tensor) for v in content.values()):
        inner = next((content[key] for key in _WRAPPERS if key in content), None)
        if inner is None:
            return {}
        content = inner
    if not isinstance(content, dict):
        return {}
    return {str(k): v for k, v in content.items() if isinstance(v, torch.Tensor)}


def _strip(content: Any) -> dict[str, torch.Tensor]:
    tensors = _tensors(content)
    for prefix in _PREFIXES * 2:
        if any(name.startswith(prefix + "blocks.") or name.startswith(prefix + "backbone.") for name in tensors):
            tensors = {name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}
    return tensors


def _resampled(path: Path, value: torch.Tensor, backbone: Backbone) -> torch.Tensor:
    """A (1, 1 + N, C) or (1, N, C) embedding on our grid. ViTPose's is 16x12, others are square."""
    own = backbone.vit.state_dict()["pos_embed"]
    if value.ndim != 3 or value.shape[2] != own.shape[2]:
        raise InputError(f"{path}: position embedding of width {tuple(value.shape)}, wanted {own.shape[2]}")
    count = value.shape[1]
    for prefix in (1, 0):
        side = round((count - prefix) ** 0.5)
        grids = [(side, side)] if side * side == count - prefix else []
        unit = round(((count - prefix) / 12) ** 0.5)
        if 12 * unit * unit == count - prefix:
            grids.append((4 * unit, 3 * unit))
        if grids:
            grid = list(backbone.vit.patch_embed.grid_size)  # type: ignore[union-attr,arg-type]
            if not prefix:
                value = torch.cat([torch.zeros_like(value[:, :1]), value], dim=1)
            return resample_abs_pos_embed(value.float(), grid, list(grids[0]), num_prefix_tokens=1)
    raise InputError(f"{path}: position embedding of {count} tokens is neither square nor 4:3")
