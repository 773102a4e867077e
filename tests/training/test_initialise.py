"""Foreign checkpoints that a backbone or its stem starts from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ftpcli.errors import InputError, UsageError
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.training.initialise import backbone_state, stem_state
from tests.support.training_runs import CONFIG


def vit_state(positions: int, width: int = 192, prefix: str = "", final: str = "norm") -> dict[str, torch.Tensor]:
    model = FTPPose(CONFIG.replace(image_size=(256, 192)))
    state = {}
    for name, value in model.backbone.vit.state_dict().items():
        value = torch.randn(1, positions, width) if name == "pos_embed" else torch.randn_like(value.float())
        state[prefix + name.replace("norm.", f"{final}.") if name.startswith("norm.") else prefix + name] = value
    return state


@pytest.mark.parametrize(
    ("form", "positions"), [("timm", 197), ("mae", 197), ("vitpose", 193), ("vitpose", 433), ("bare", 192)]
)
def test_foreign_backbones_are_mapped_and_resampled(tmp_path: Path, form: str, positions: int) -> None:
    path = tmp_path / "checkpoint.pth"
    if form == "vitpose":
        state = vit_state(positions, prefix="backbone.", final="last_norm")
        torch.save({"state_dict": state | {"keypoint_head.x": torch.ones(1)}, "meta": {"epoch": 3}}, path)
    elif form == "mae":
        state = vit_state(positions)
        torch.save({"model": state | {"decoder_pos_embed": torch.ones(1, 2, 3)}}, path)
    else:
        state = vit_state(positions)
        torch.save(state, path)
    model = FTPPose(CONFIG)
    taken = backbone_state(path, model.backbone)
    assert taken["pos_embed"].shape == (1, 1 + 12, 192)
    assert "norm.weight" in taken and "patch_embed.proj.weight" in taken
    key = next(name for name in state if name.endswith("blocks.3.attn.qkv.weight"))
    assert torch.equal(taken["blocks.3.attn.qkv.weight"], state[key])


@pytest.mark.parametrize("form", ["timm", "port"])
def test_an_efficientnet_stem_from_a_file(tmp_path: Path, form: str) -> None:
    """The file's network, in either form, gives the stem the same features as timm's own code does."""
    import timm

    net = timm.create_model("tf_efficientnet_lite0").eval()
    for module in net.modules():  # statistics that are not those of a fresh network
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    path = tmp_path / "lite0.pth"
    state = net.state_dict()
    torch.save(state if form == "timm" else {"state_dict": port_names(net)}, path)
    model = FTPPose(CONFIG.replace(stem="efficientnet")).eval()
    taken = stem_state(path, model.backbone)
    assert not model.backbone.vit.load_state_dict(taken, strict=False).unexpected_keys
    stem = model.backbone.vit.patch_embed.proj
    pictures = torch.rand(2, 3, 64, 48)
    with torch.no_grad():
        wanted = net.forward_intermediates(pictures, indices=[2, 3], intermediates_only=True)
        found = stem.net.forward_intermediates(pictures, indices=[2, 3], intermediates_only=True)
        tokens = model.encode(pictures)
    assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))
    assert tokens.shape == (2, 12, CONFIG.width)


def port_names(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The state under the names of EfficientNet-PyTorch: one list of blocks, norms counted from each block's first."""
    places = [(s, b) for s, stage in enumerate(net.blocks) for b in range(len(stage))]  # type: ignore[arg-type]
    state = {}
    for name, value in net.state_dict().items():
        first, *rest = name.split(".")
        if first == "blocks":
            stage, block, part, tail = int(rest[0]), int(rest[1]), rest[2], ".".join(rest[3:])
            plain = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
            expanded = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1"}
            expanded |= {"conv_pwl": "_project_conv", "bn3": "_bn2"}
            part = (expanded if stage else plain)[part]
            state[f"_blocks.{places.index((stage, block))}.{part}.{tail}"] = value
        else:
            head = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
            state[".".join([head.get(first, "_fc"), *rest])] = value
    return state


def test_stem_weights_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"conv_stem.weight": torch.zeros(3)}, path)
    with pytest.raises(UsageError, match="--stem efficientnet"):
        stem_state(path, FTPPose(CONFIG).backbone)
    backbone = FTPPose(CONFIG.replace(stem="efficientnet")).backbone
    with pytest.raises(InputError, match=r"x.pth: not a checkpoint of tf_efficientnet_lite0 \(\d+ of \d+ tensors"):
        stem_state(path, backbone)
    torch.save([torch.zeros(3)], path)
    with pytest.raises(InputError, match="not a checkpoint"):
        stem_state(path, backbone)
    with pytest.raises(InputError, match="no such file or folder"):
        stem_state(tmp_path / "absent.pth", backbone)


def test_foreign_checkpoints_that_do_not_fit(tmp_path: Path) -> None:
    backbone = FTPPose(CONFIG).backbone
    path = tmp_path / "x.pth"
    torch.save({"conv.weight": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="not a checkpoint of this backbone"):
        backbone_state(path, backbone)
    marker = tmp_path / "owned"

    class Evil:
        def __reduce__(self) -> tuple:
            return (open, (str(marker), "w"))

    torch.save({"model": Evil()}, path)
    with pytest.raises(InputError, match="could run code"):
        backbone_state(path, backbone)
    assert not marker.exists()
    path.write_bytes(b"zzz")
    with pytest.raises(InputError):
        backbone_state(path, backbone)
