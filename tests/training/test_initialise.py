"""Foreign checkpoints that a backbone starts from."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from ftpcli.errors import InputError
from ftpcli.model.backbone import Backbone
from ftpcli.model.config import ModelConfig
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.pose.weights import save_weights
from ftpcli.skeleton import COCO17
from ftpcli.training.initialise import backbone_state, structure_of
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


def test_foreign_checkpoints_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"conv.weight": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="no pose model that this program knows"):
        backbone_state(path, CONFIG)
    write_mae(path)  # two blocks
    with pytest.raises(InputError, match=r"not a checkpoint of this backbone.*vit_tiny_patch16_224, --depth 2"):
        backbone_state(path, CONFIG.replace(depth=None))  # twelve
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
