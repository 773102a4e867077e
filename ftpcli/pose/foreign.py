"""Checkpoints of other programs: ViTPose in every form it is passed on in, and plain vision transformers.

Every tensor of a file is one of the model's or known to be left out; the model's are all filled. Else it is refused.
"""

from __future__ import annotations

import argparse
import json
import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from timm.layers import resample_abs_pos_embed

from ftpcli.errors import InputError, UsageError
from ftpcli.model.choices import Branches, Codec, Head
from ftpcli.model.config import ModelConfig
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.skeleton import COCO17

State = dict[str, torch.Tensor]


class Form(StrEnum):
    """Who wrote a checkpoint."""

    TRANSFORMERS = "transformers"
    MMPOSE = "mmpose 1.x"
    VITPOSE = "ViTPose"
    TIMM = "timm or MAE"


@dataclass(frozen=True, slots=True)
class Foreign:
    """A checkpoint under the names of our model.

    Attributes:
        config: of the whole model where the file has a pose head; else only the backbone's options count.
        state: the model's tensors by name, as float32, those of the backbone alone where there is no pose head.
        left_out: names of the file's tensors that the model has no use for.
        complete: the file has a pose head.
    """

    form: Form
    config: ModelConfig
    state: State
    left_out: tuple[str, ...]
    complete: bool


#: timm's names by a token's width. Depth and heads may differ from what the names have.
_NAMES = {
    192: "vit_tiny_patch16_224",
    384: "vit_small_patch16_224",
    768: "vit_base_patch16_224",
    1024: "vit_large_patch16_224",
    1280: "vit_huge_patch16_gap_448",
}
_DEPTHS = {192: 12, 384: 12, 768: 12, 1024: 24, 1280: 32}
#: No tensor tells the number of heads: ViTPose's, by the width, and timm's.
_VITPOSE_HEADS = {384: 12, 768: 12, 1024: 16, 1280: 16}
_TIMM_HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16}

_WRAPPERS = ("model", "state_dict", "module", "model_ema")
#: A tensor of each form that no other has.
_MARKS = {
    Form.TRANSFORMERS: "backbone.embeddings.position_embeddings",
    Form.MMPOSE: "backbone.layers.0.ln1.weight",
    Form.VITPOSE: "backbone.blocks.0.norm1.weight",
    Form.TIMM: "blocks.0.norm1.weight",
}
_EXPERT = (r"\.mlp\.experts\.(?:experts\.)?0\.", ".mlp.expert.")
_DECONVOLUTIONS = [
    (r"^head\.deconv_layers\.([01])\.", r"head.stages.0.\1."),
    (r"^head\.deconv_layers\.3\.", "head.stages.1.0."),
    (r"^head\.deconv_layers\.4\.", "head.stages.1.1."),
    (r"^head\.final_layer\.", "head.final."),
]
#: For each form, patterns of names and what takes their place, applied one after the other.
_RENAMED: dict[Form, list[tuple[str, str]]] = {
    Form.TRANSFORMERS: [
        (r"^backbone\.embeddings\.position_embeddings$", "backbone.pos_embed"),
        (r"^backbone\.embeddings\.patch_embeddings\.projection\.", "backbone.patch_embed.proj."),
        (r"^backbone\.encoder\.layer\.", "backbone.blocks."),
        (r"\.layernorm_before\.", ".norm1."),
        (r"\.layernorm_after\.", ".norm2."),
        (r"\.attention\.attention\.(query|key|value)\.", r".attn.\1."),
        (r"\.attention\.output\.dense\.", ".attn.proj."),
        _EXPERT,
        (r"^backbone\.layernorm\.", "backbone.norm."),
        (r"^head\.deconv1\.", "head.stages.0.0."),
        (r"^head\.batchnorm1\.", "head.stages.0.1."),
        (r"^head\.deconv2\.", "head.stages.1.0."),
        (r"^head\.batchnorm2\.", "head.stages.1.1."),
        (r"^head\.conv\.", "head.final."),
    ],
    Form.MMPOSE: [
        (r"^backbone\.patch_embed\.projection\.", "backbone.patch_embed.proj."),
        (r"^backbone\.layers\.", "backbone.blocks."),
        (r"\.ln([12])\.", r".norm\1."),
        (r"\.ffn\.layers\.0\.0\.", ".mlp.fc1."),
        (r"\.ffn\.layers\.1\.", ".mlp.fc2."),
        (r"^backbone\.norm1\.", "backbone.norm."),
        *_DECONVOLUTIONS,
    ],
    Form.VITPOSE: [
        (r"^backbone\.last_norm\.", "backbone.norm."),
        _EXPERT,
        (r"^keypoint_head\.", "head."),
        *_DECONVOLUTIONS,
    ],
    Form.TIMM: [(r"^", "backbone.")],
}
#: What models of other data sets, of pretraining and of classification have besides.
_LEFT_OUT = {
    Form.TRANSFORMERS: r"\.mlp\.experts\.(experts\.)?[1-9]\d*\.",
    Form.MMPOSE: r"^data_preprocessor\.",
    Form.VITPOSE: r"\.mlp\.experts\.[1-9]\d*\.|^associate_keypoint_heads\.",
    Form.TIMM: r"^(head|fc_norm|pre_logits)\.|^mask_token$|^decoder_",
}


def read_foreign(path: Path, tensors: Mapping[str, torch.Tensor]) -> Foreign:
    """Tensors of another program's checkpoint under the names of our model.

    Args:
        path: names the file in messages; a ``config.json`` of transformers beside it is believed.
        tensors: by the file's own names.

    Raises:
        InputError: another architecture, or tensors missing, left over or of the wrong shape; the message names them.
    """
    tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    form = next((form for form, mark in _MARKS.items() if mark in tensors), None)
    if form is None:
        first = next(iter(tensors), "nothing")
        raise InputError(
            f"{path}: no pose model that this program knows (it holds {first} ...); give a file made by 'ftp train', "
            "or ViTPose's from Hugging Face, ViTPose or mmpose 1.x"
        )
    unused = tuple(name for name in tensors if re.search(_LEFT_OUT[form], name))
    state: State = {}
    for name, value in tensors.items():
        if name not in unused:
            for pattern, replacement in _RENAMED[form]:
                name = re.sub(pattern, replacement, name)
            state[name] = value.float() if value.is_floating_point() else value
    try:
        state = _joined(state)
        position = "backbone.pos_embed"
        class_token = "backbone.cls_token" in state
        state[position], size = _placed(state[position], class_token, form == Form.TIMM)
        config = _config(form, state, size, _beside(path) if form == Form.TRANSFORMERS else {})
        complete = any(name.startswith("head.") for name in state)
        state = {re.sub(r"^backbone\.", "backbone.vit.", name): value for name, value in state.items()}
        with torch.device("meta"):
            own = FTPPose(config).state_dict()
    except (KeyError, ValueError, IndexError, UsageError, RuntimeError) as error:
        raise InputError(f"{path}: not a {form} checkpoint of a known structure ({_first_line(error)})") from error
    own = {name: value for name, value in own.items() if complete or name.startswith("backbone.")}
    for name in own.keys() - state.keys():
        if name.endswith("num_batches_tracked"):  # counts steps; older files lack it
            state[name] = torch.zeros((), dtype=torch.long)
    if wrong := _differences(own, state):
        raise InputError(f"{path}: not a {form} checkpoint that this program can hold ({wrong})")
    return Foreign(form, config, state, unused, complete)


def _joined(state: State) -> State:
    """Query, key and value as one matrix, and expert 0, COCO's, joined to the layer that all experts share."""
    joined = dict(state)
    for name in state:
        if ".attn.query." in name:
            parts = [joined.pop(name.replace(".query.", f".{part}.")) for part in ("query", "key", "value")]
            joined[name.replace(".query.", ".qkv.")] = torch.cat(parts)
        elif ".mlp.expert." in name:
            shared = name.replace(".expert.", ".fc2.")
            joined[shared] = torch.cat([joined[shared], joined.pop(name)])
    return joined


def _config(form: Form, state: State, size: tuple[int, int], known: Mapping[str, Any]) -> ModelConfig:
    """The structure that these tensors have; raises KeyError, ValueError where it is none of ours.

    Args:
        known: options of the backbone that the file's folder tells besides.
    """
    patches = state["backbone.patch_embed.proj.weight"]
    width = patches.shape[0]
    if width not in _NAMES or tuple(patches.shape[1:]) != (3, 16, 16):
        raise ValueError(f"patches of {'x'.join(map(str, patches.shape[2:]))} pixels, {width} channels")
    depth = 1 + max(int(name.split(".")[2]) for name in state if name.startswith("backbone.blocks."))
    vitpose = form != Form.TIMM
    heads = int(known.get("num_attention_heads", _VITPOSE_HEADS.get(width, 0))) if vitpose else _TIMM_HEADS[width]
    if vitpose and "backbone.cls_token" in state:
        raise ValueError("it has a class token, which ViTPose has not")
    if not heads:
        raise ValueError(f"how many heads a ViTPose of width {width} has is not known")
    config = ModelConfig(
        backbone=_NAMES[width],
        depth=None if depth == _DEPTHS[width] else depth,
        heads=None if heads == _TIMM_HEADS[width] else heads,
        class_token="backbone.cls_token" in state,
        patch_padding=2 if vitpose else 0,
        image_size=size,
        width=width,
        frames=1,
        branches=Branches.NONE,
        joints=COCO17.joints,
    )
    if not any(name.startswith("head.") for name in state):
        return config
    final = state["head.final.weight"]
    if final.shape[0] != len(COCO17.joints):
        raise ValueError(f"it has {final.shape[0]} joints; COCO's {len(COCO17.joints)} are known")
    deconvolution = "head.stages.0.0.weight" in state
    return config.replace(
        head=Head.DECONVOLUTION if deconvolution else Head.SIMPLE,
        head_width=final.shape[1] if deconvolution else config.head_width,
        codec=Codec.UDP,
    )


def _placed(value: torch.Tensor, class_token: bool, square: bool) -> tuple[torch.Tensor, tuple[int, int]]:
    """A position embedding (1, class token + N, C), and height and width of the pictures that it is for.

    Args:
        square: of square pictures, as timm's and MAE's. ViTPose's are 4:3, and it adds the class token's, which it has
            no token for, to every other.
    """
    count = value.shape[1]
    if square:
        if class_token and isqrt(count) ** 2 == count:  # some of timm's have none for the class token
            value, count = torch.cat([torch.zeros_like(value[:, :1]), value], dim=1), count + 1
        side = isqrt(count - class_token)
        if side * side == count - class_token:
            return value, (16 * side, 16 * side)
    for cells in () if square else (count, count - 1):
        unit = isqrt(cells // 12)
        if unit and 12 * unit * unit == cells:
            value = value if cells == count else value[:, 1:] + value[:, :1]
            return value, (64 * unit, 48 * unit)
    raise ValueError(f"a position embedding of {count} tokens, which is neither square nor 4:3")


def fit_positions(value: torch.Tensor, old: ModelConfig, new: ModelConfig) -> torch.Tensor:
    """A position embedding (1, N, C) of one configuration's crops for another's."""
    if old.grid == new.grid:
        return value
    prefix = 1 if old.class_token else 0
    return resample_abs_pos_embed(value, list(new.grid), list(old.grid), num_prefix_tokens=prefix)


def _beside(path: Path) -> dict[str, Any]:
    """The backbone's options of a ``config.json`` of transformers in the file's folder, which go beyond its tensors."""
    try:
        values = json.loads((path.parent / "config.json").read_text())
        if values.get("model_type") != "vitpose":
            return {}
        backbone = dict(values.get("backbone_config") or {})
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
    if backbone.get("hidden_act", "gelu") != "gelu":
        raise InputError(f"{path}: its config.json names the activation {backbone['hidden_act']}; only gelu is known")
    return backbone


def _differences(own: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> str:
    """What does not fit, with the first name of each kind; empty where all does."""
    missing = sorted(own.keys() - found.keys())
    surplus = sorted(found.keys() - own.keys())
    shapes = [name for name in own if name in found and own[name].shape != found[name].shape]
    kinds = (("missing", missing), ("not known", surplus), ("of another shape", shapes))
    return "; ".join(f"{len(names)} tensors {kind}, first {names[0]}" for kind, names in kinds if names)


class _Harmless:
    """In place of objects of other libraries in a pickle, which hold settings and statistics; takes anything."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


#: What checkpoints of MAE and mmengine hold besides tensors.
_SETTINGS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    argparse.Namespace,
    (_Harmless, "mmengine.logging.history_buffer.HistoryBuffer"),
    *(
        (_Harmless, f"{home}.{name}")
        for home in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("_reconstruct", "scalar")
    ),
    (_Harmless, "numpy.ndarray"),
    (_Harmless, "numpy.dtype"),
]


def read_pickled(path: Path) -> State:
    """The tensors of a torch checkpoint, however it is wrapped; what could run code is refused.

    Raises:
        InputError: unreadable, or it holds more than tensors and settings.
    """
    try:
        with torch.serialization.safe_globals(_SETTINGS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: holds more than tensors, so opening it could run code; save its state dictionary alone"
        ) from error
    except Exception as error:  # torch raises many kinds for damaged files
        raise InputError(f"{path}: cannot be read as a checkpoint ({type(error).__name__}); copy it again") from error
    while isinstance(content, dict) and not any(isinstance(v, torch.Tensor) for v in content.values()):
        content = next((content[key] for key in _WRAPPERS if key in content), None)
    if not isinstance(content, dict):
        return {}
    return {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}


def _first_line(error: Exception) -> str:
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    return (f"it has no {text}" if isinstance(error, KeyError) else str(text)).partition("\n")[0]
