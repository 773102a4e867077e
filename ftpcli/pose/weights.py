"""Weights of the pose model: ours, with configuration and provenance in the file's header, and those of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftpcli.errors import InputError, UsageError
from ftpcli.files.inputs import first_bytes, require_file
from ftpcli.files.tensors import read_tensors, sha256, write_tensors
from ftpcli.model.config import ModelConfig
from ftpcli.pose.hub import hub_file, hub_origin, is_hub_name

if TYPE_CHECKING:
    import torch

    from ftpcli.model.ftp_pose import FTPPose

FORMAT = "ftp-pose"
_ENTRY = "ftp"
#: How torch's checkpoints begin: a zip archive, or, of before torch 1.6, a pickle.
_PICKLED = (b"PK", b"\x80\x02")
ASSETS = Path(__file__).resolve().parent.parent / "assets"
DEFAULT_WEIGHTS = ASSETS / "ftp-pose-tiny.safetensors"


def weights_path(name: str | Path) -> Path:
    """The file behind a ``--weights`` value: a file, ``default`` (the bundled one), or a model's name on the hub.

    A file goes before a name. A hub's model is downloaded where it is not on this machine yet.

    Raises:
        InputError: no such file, or it cannot be downloaded.
    """
    path = DEFAULT_WEIGHTS if str(name) == "default" else Path(name)
    if not path.is_file() and is_hub_name(str(name)):
        return hub_file(str(name))
    require_file(path)
    return path


def describe_weights(path: Path) -> dict[str, Any]:
    """What files record of the weights: name and sha256, and repository and revision where they are the hub's."""
    return {"name": path.name, "sha256": sha256(path), **hub_origin(path)}


def save_weights(
    path: Path,
    state: dict[str, torch.Tensor],
    config: ModelConfig,
    provenance: dict[str, Any],
    *,
    exact: bool = False,
) -> None:
    """Write a state dictionary, its floating-point tensors as fp16, with ``exact`` as they are.

    Raises:
        OutputError: the file cannot be written.
    """
    # One entry: safetensors writes several in an order that changes from run to run.
    content = {"format": FORMAT, "config": config.to_dict(), "provenance": provenance}
    write_tensors(path, state, {_ENTRY: json.dumps(content, sort_keys=True)}, exact=exact)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """A file's tensors by its own names, fp32, and its header: safetensors, or a torch checkpoint without code."""
    require_file(path)
    if first_bytes(path, 2) in _PICKLED:
        from ftpcli.pose.foreign import read_pickled

        tensors: dict[str, torch.Tensor] = read_pickled(path)
        header: dict[str, str] = {}
    else:
        tensors, header = read_tensors(path)
    for name, value in tensors.items():
        if not value.isfinite().all():
            raise InputError(f"{path}: {name} holds values that are no numbers; such weights find nothing, take others")
    return tensors, header


def load_weights(path: Path, *, complete: bool = True) -> tuple[ModelConfig, dict[str, torch.Tensor], dict[str, Any]]:
    """Configuration, fp32 tensors and provenance of a weights file, ours or one of others.

    Args:
        complete: refuse a file that has a backbone alone. Else its configuration counts for the backbone only.

    Raises:
        InputError: unreadable, or no pose model that this program knows.
    """
    tensors, header = _read(path)
    entry = header.get(_ENTRY)
    if entry is None:
        from ftpcli.pose.foreign import read_foreign

        found = read_foreign(path, tensors)
        if complete and not found.complete:
            raise InputError(
                f"{path}: a {found.form} backbone without a pose head; train one: ftp train --backbone-weights"
            )
        provenance = {"imported": {"form": found.form.value, "left_out": len(found.left_out)}}
        return found.config, found.state, provenance
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


def transfer(model: FTPPose, state: dict[str, torch.Tensor], given: ModelConfig) -> tuple[list[str], list[str]]:
    """Copy every tensor of the same name and shape into the model; names taken and names left as they were.

    A position embedding of another crop size is resampled to the model's.

    Args:
        given: the configuration that the state belongs to.
    """
    from ftpcli.pose.foreign import fit_positions

    own = model.state_dict()
    state = dict(state)
    name = "backbone.vit.pos_embed"
    if name in state and given.class_token == model.config.class_token:
        state[name] = fit_positions(state[name], given, model.config)
    taken = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    model.load_state_dict(taken, strict=False)
    return sorted(taken), sorted(set(own) - set(taken))
