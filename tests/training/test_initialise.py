"""Foreign checkpoints that a backbone or its stem starts from."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from ftpcli.errors import InputError, UsageError
from ftpcli.model.backbone import Backbone
from ftpcli.model.config import ModelConfig
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.pose.weights import save_weights
from ftpcli.skeleton import COCO17
from ftpcli.training.initialise import backbone_state, stem_state, structure_of
from tests.support.training_runs import CONFIG
from tests.support.vitpose import OriginalViTPose, write_mae, write_mmpose, write_vitpose


@pytest.mark.parametrize("form", ["timm", "timm without a class token's position", "mae", "vitpose", "mmpose", "ours"])
def test_foreign_backbones_give_the_tokens_that_they_gave(tmp_path: Path, form: str) -> None:
    """On the file's own crop, whatever the number of heads and the padding; the embedding is resampled for others."""
    torch.manual_seed(0)
    path = tmp_path / "backbone.pth"
    config = ModelConfig(backbone="vit_tiny_patch16_224", depth=2, image_size=(224, 224), joints=COCO17.joints)
    if form in ("vitpose", "mmpose"):
        original = OriginalViTPose()
        config = config.replace(backbone="vit_small_patch16_224", image_size=(256, 192))
        (write_vitpose if form == "vitpose" else write_mmpose)(path, original)
    elif form == "mae":
        write_mae(path)
        original = timm.create_model(config.backbone, depth=2, num_classes=0, global_pool="").eval()
        original.load_state_dict(torch.load(path, weights_only=False)["model"], strict=False)
    elif form == "ours":
        path = tmp_path / "ours.safetensors"
        model = FTPPose(config).half().float()
        save_weights(path, model.state_dict(), config, {})
        original = model.backbone.vit.eval()
    else:
        options = {"no_embed_class": True} if "without" in form else {}
        original = timm.create_model(config.backbone, depth=2, global_pool="token", **options).eval()
        torch.save(original.state_dict(), path)
    fitting = structure_of(path, config)
    backbone = Backbone(fitting).eval()
    taken = backbone_state(path, fitting)
    backbone.load_state_dict({name.removeprefix("backbone."): value for name, value in taken.items()})
    images = torch.randn(1, 3, *config.image_size)
    with torch.no_grad():
        if form in ("vitpose", "mmpose"):
            wanted = original.backbone(images).flatten(2).transpose(1, 2)
        else:
            wanted = original.forward_features(images)[:, 1:]
        assert (backbone(images) - wanted).abs().max() < 1e-5 * wanted.abs().max()
    small = structure_of(path, config.replace(image_size=(64, 48)))
    assert backbone_state(path, small)["backbone.vit.pos_embed"].shape[1] == 12 + small.class_token


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
    path = tmp_path / "x.pth"
    torch.save({"conv.weight": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="no pose model that this program knows"):
        backbone_state(path, CONFIG)
    write_mae(path)  # two blocks; CONFIG's backbone has twelve
    with pytest.raises(InputError, match=r"not a checkpoint of this backbone.*vit_tiny_patch16_224, --depth 2"):
        backbone_state(path, CONFIG)
    write_vitpose(path, OriginalViTPose())  # loads only with the structure that it was trained with
    with pytest.raises(InputError, match="not a checkpoint of this backbone"):
        backbone_state(path, CONFIG.replace(backbone="vit_small_patch16_224", depth=2, class_token=False))
    marker = tmp_path / "owned"

    class Evil:
        def __reduce__(self) -> tuple:
            return (open, (str(marker), "w"))

    torch.save({"model": Evil()}, path)
    with pytest.raises(InputError, match="could run code"):
        backbone_state(path, CONFIG)
    assert not marker.exists()
    path.write_bytes(b"zzz")
    with pytest.raises(InputError):
        backbone_state(path, CONFIG)
