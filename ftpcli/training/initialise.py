"""What a model may start from, by file: ViTs of others or our weights for its backbone, EfficientNet's or MoveNet's for
its stem."""

from __future__ import annotations

from pathlib import Path

import torch

from ftpcli.errors import InputError, UsageError
from ftpcli.model.backbone import Backbone, EfficientNetStem
from ftpcli.model.config import ModelConfig
from ftpcli.pose.foreign import fit_positions
from ftpcli.pose.weights import load_weights, read_tensors_of
from ftpcli.training.movenet_weights import movenet_state

_PATCHES, _POSITIONS = "backbone.vit.patch_embed.", "backbone.vit.pos_embed"


def starting_state(
    config: ModelConfig, backbone_weights: Path | None, stem_weights: Path | None
) -> dict[str, torch.Tensor]:
    """The model's tensors, by name, that these files hold.

    Raises:
        UsageError: the stem takes no weights, or what reads them is not installed.
        InputError: unreadable, or of another network.
    """
    state: dict[str, torch.Tensor] = {}
    if backbone_weights is not None:
        state |= backbone_state(backbone_weights, config)
    if stem_weights is not None and config.stem == "movenet":
        state |= movenet_state(stem_weights, config.head_width, config.joints)
    elif stem_weights is not None:
        state |= {f"backbone.vit.{name}": value for name, value in stem_state(stem_weights, Backbone(config)).items()}
    return state


def structure_of(path: Path, config: ModelConfig) -> ModelConfig:
    """The configuration with the heads, class token and patch padding that a backbone's weights were trained with.

    Their tensors would fit others, too, but mean something else there. Raises InputError.
    """
    found = load_weights(path, complete=False)[0]
    return config.replace(
        heads=found.heads,
        class_token=found.class_token,
        patch_padding=found.patch_padding if found.stem == "patch" else 0,
    )


def backbone_state(path: Path, config: ModelConfig) -> dict[str, torch.Tensor]:
    """Tensors ``backbone.*`` of a weights file of ours or of others, position embedding resampled to the crop's grid.

    Of a file with another stem than the configuration's, the blocks and what is around them are taken.

    Raises:
        InputError: unreadable, or its blocks are not those of the backbone; the message names what differs.
    """
    given, found, _ = load_weights(path, complete=False)
    same_stem = given.stem == config.stem
    taken = {
        name: value
        for name, value in found.items()
        if name.startswith("backbone.") and (same_stem or not name.startswith(("backbone.trunk.", _PATCHES)))
    }
    with torch.device("meta"):
        own = Backbone(config).state_dict(prefix="backbone.")
    taken[_POSITIONS] = fit_positions(taken[_POSITIONS], given, config)
    needed = {name for name in own if same_stem or not name.startswith(("backbone.trunk.", _PATCHES))}
    wrong = [name for name in sorted(needed ^ taken.keys()) if not name.startswith("backbone.vit.norm.")]
    wrong += [name for name in sorted(needed & taken.keys()) if own[name].shape != taken[name].shape]
    if wrong or (given.heads, given.class_token) != (config.heads, config.class_token):
        what = f"{len(wrong)} tensors do not fit, first {wrong[0]}" if wrong else "other heads or class token"
        raise InputError(
            f"{path}: not a checkpoint of this backbone ({what}); name the matching --backbone (this is "
            f"{given.backbone}{f', --depth {given.depth}' if given.depth is not None else ''})"
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
    found = {name.removeprefix("module."): value for name, value in read_tensors_of(path).items()}
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
