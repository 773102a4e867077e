"""What a model may start from, by file: ViTs of others or our weights for its backbone, MoveNet's for its stem."""

from __future__ import annotations

from pathlib import Path

import torch

from ftpcli.errors import FtpError, InputError, UsageError
from ftpcli.model.backbone import Backbone
from ftpcli.model.choices import Stem
from ftpcli.model.config import ModelConfig
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.pose.foreign import fit_positions
from ftpcli.pose.weights import load_weights
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
    if stem_weights is not None:
        if config.stem != Stem.MOVENET:
            raise UsageError("--stem-weights: weights for the stem need --stem movenet")
        state |= movenet_state(stem_weights, config.head_width, config.joints)
    return state


def fresh_model(config: ModelConfig, pretrained: bool) -> FTPPose:
    """A model of random numbers, with ``pretrained`` but for the backbone, whose weights timm downloads.

    Raises:
        InputError: they cannot be downloaded.
        UsageError: timm has none of this name.
    """
    try:
        return FTPPose(config, pretrained)
    except FtpError:
        raise
    except Exception as error:  # the hub's own errors, and those of its network library
        if not pretrained:
            raise
        raise InputError(
            f"--backbone-weights pretrained: {config.backbone} cannot be fetched ({type(error).__name__}); give a file "
            "that is on this machine"
        ) from error


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
