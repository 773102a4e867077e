"""Weights of others: loaded to the same numbers, or refused in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ftpcli.errors import FtpError, InputError
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.pose.weights import build_model, load_weights, save_weights, transfer
from tests.support.vitpose import (
    OriginalViTPose,
    mmpose_names,
    transformers_names,
    write_mae,
    write_mmpose,
    write_vitpose,
)


def near(found: torch.Tensor, wanted: torch.Tensor) -> None:
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("form", ["vitpose", "mmpose", "simple", "plus", "large crop", "module"])
def test_the_same_heatmaps_from_every_form(tmp_path: Path, form: str) -> None:
    torch.manual_seed(0)
    grid = (24, 18) if form == "large crop" else (16, 12)
    original = OriginalViTPose(simple=form == "simple", experts=6 if form == "plus" else 0, grid=grid)
    path = tmp_path / "model.pth"
    if form == "mmpose":
        write_mmpose(path, original)
    elif form == "module":
        torch.save({f"module.{name}": value for name, value in original.state_dict().items()}, path)
    else:
        write_vitpose(path, original)
    model, provenance = build_model(path)
    assert model.config.codec == "udp" and model.config.heads == 12 and len(model.config.joints) == 17
    assert model.config.image_size == (16 * grid[0], 16 * grid[1])
    assert (provenance["imported"]["left_out"] > 0) == (form == "plus")
    images = torch.randn(2, 3, *model.config.image_size)
    with torch.no_grad():
        wanted = original(images)
        near(model(images[:, None]), wanted)
    save_weights(tmp_path / "ours.safetensors", model.state_dict(), model.config, provenance, exact=True)
    again, _ = build_model(tmp_path / "ours.safetensors")
    assert again.config == model.config
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_backbones_alone_are_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "mae.pth"
    state = write_mae(path)
    config, taken, provenance = load_weights(path, complete=False)
    assert config.class_token and config.patch_padding == 0 and config.heads is None and config.depth == 2
    assert provenance["imported"] == {"form": "timm or MAE", "left_out": 4}
    assert torch.equal(taken["backbone.vit.blocks.1.attn.qkv.weight"], state["blocks.1.attn.qkv.weight"])
    with pytest.raises(InputError, match=r"mae.pth: a timm or MAE backbone without a pose head.*--backbone-weights"):
        load_weights(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("joints", "it has 16 joints"),
        ("surplus", "1 tensors not known, first backbone.vit.blocks.0.ls1.gamma"),
        ("missing", "1 tensors missing, first backbone.vit.blocks.1.attn.proj.bias"),
        ("head", "head.final.weight"),
        ("patch", "patches of 14x14"),
        ("width", "how many heads"),
        ("positions", "150 tokens"),
        ("other", "no pose model that this program knows"),
        ("class token", "class token"),
        ("shape", "of another shape, first backbone.vit.blocks.0.mlp.fc1.weight"),
    ],
)
def test_other_architectures_are_refused(tmp_path: Path, change: str, message: str) -> None:
    torch.manual_seed(0)
    path = tmp_path / "model.pth"
    original = OriginalViTPose(192 if change == "width" else 384, joints=16 if change == "joints" else 17)
    state = dict(original.state_dict())
    if change == "surplus":
        state["backbone.blocks.0.ls1.gamma"] = torch.ones(384)
    elif change == "missing":
        del state["backbone.blocks.1.attn.proj.bias"]
    elif change == "head":
        del state["keypoint_head.final_layer.weight"]
    elif change == "patch":
        state["backbone.patch_embed.proj.weight"] = torch.zeros(384, 3, 14, 14)
    elif change == "positions":
        state["backbone.pos_embed"] = torch.zeros(1, 150, 384)
    elif change == "class token":
        state["backbone.cls_token"] = torch.zeros(1, 1, 384)
    elif change == "shape":
        state["backbone.blocks.0.mlp.fc1.weight"] = torch.zeros(768, 384)
    elif change == "other":
        state = {"conv1.weight": torch.zeros(64, 3, 7, 7), "layer1.0.conv1.weight": torch.zeros(64, 64, 1, 1)}
    torch.save({"state_dict": state}, path)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        build_model(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_a_configuration_beside_the_file_is_believed(tmp_path: Path) -> None:
    """No tensor tells how many heads there are; transformers' config.json does."""
    state = transformers_names(OriginalViTPose(heads=6))
    path = tmp_path / "model.safetensors"
    save_file(state, path)
    assert load_weights(path)[0].heads == 12
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "vitpose", "backbone_config": {"num_attention_heads": 6}})
    )
    assert load_weights(path)[0].heads is None  # what timm's vit_small has
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "vitpose", "backbone_config": {"hidden_act": "relu"}})
    )
    with pytest.raises(InputError, match="activation relu"):
        load_weights(path)


def test_pickles_with_code_and_damaged_files_are_one_line(tmp_path: Path) -> None:
    marker, path = tmp_path / "owned", tmp_path / "model.pth"

    class Evil:
        def __reduce__(self) -> tuple:
            return (open, (str(marker), "w"))

    torch.save({"state_dict": OriginalViTPose(depth=1).state_dict(), "meta": Evil()}, path)
    with pytest.raises(InputError, match="could run code"):
        build_model(path)
    assert not marker.exists()
    write_vitpose(path, OriginalViTPose(depth=1))
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:100], b"PK", b"PK\x03\x04" + b"z" * 100, b"\x80\x02zz"):
        path.write_bytes(content)
        with pytest.raises(FtpError) as caught:
            build_model(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_mmpose_positions_are_not_folded_twice(tmp_path: Path) -> None:
    original = OriginalViTPose(depth=1)
    path = tmp_path / "mm.pth"
    torch.save(mmpose_names(original), path)
    positions = original.backbone.pos_embed
    wanted = positions[:, 1:] + positions[:, :1]
    assert torch.equal(load_weights(path)[1]["backbone.vit.pos_embed"], wanted)


def test_an_encoder_on_vitpose_begins_with_its_output(tmp_path: Path) -> None:
    """What ``ftp train --recipe temporal --weights`` builds and fills, before its first step."""
    write_vitpose(tmp_path / "model.pth", OriginalViTPose())
    single, _ = build_model(tmp_path / "model.pth")
    config, state, _ = load_weights(tmp_path / "model.pth")
    full = FTPPose(config.replace(frames=3, branches="both", temperature="adaptive")).eval()
    taken, fresh = transfer(full, state, config)
    assert set(taken) == set(state) and not any(name.startswith("backbone.") for name in fresh)
    windows = torch.randn(2, 3, 3, 256, 192)
    with torch.no_grad():
        assert torch.equal(full(windows), single(windows))
