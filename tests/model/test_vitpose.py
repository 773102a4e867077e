"""ViTPose's structure, heads and codec as configurations of the one model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ftpcli.errors import UsageError
from ftpcli.model.choices import Preset
from ftpcli.model.config import PRESETS, ModelConfig
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.model.fuse import fuse_batch_norms
from ftpcli.model.heatmap import decode_heatmaps, gaussian_targets
from ftpcli.pose.crops import box_affine, cut, transform
from ftpcli.pose.weights import load_weights
from ftpcli.skeleton import COCO17
from tests.support.vitpose import OriginalViTPose, write_vitpose

SINGLE = ModelConfig(
    backbone="vit_tiny_patch16_224",
    depth=2,
    image_size=(128, 96),
    frames=1,
    branches="none",
    joints=COCO17.joints,
    heads=6,
    class_token=False,
    patch_padding=2,
    head="deconvolution",
    head_width=32,
    codec="udp",
)


def lively(model: FTPPose) -> FTPPose:
    """Batch statistics and biases that are not those of a fresh network."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    return model.eval()


@pytest.mark.parametrize("head", ["deconvolution", "simple"])
def test_structure_and_shapes(head: str) -> None:
    model = lively(FTPPose(SINGLE.replace(head=head)))
    names = model.state_dict()
    assert "backbone.vit.cls_token" not in names
    assert names["backbone.vit.pos_embed"].shape == (1, 48, 192)
    assert model.backbone.vit.blocks[0].attn.num_heads == 6
    images = torch.randn(2, 1, 3, 128, 96)
    with torch.no_grad():
        maps = model(images)
        assert maps.shape == (2, 17, 32, 24)
        assert model(torch.randn(1, 1, 3, 256, 192)).shape == (1, 17, 64, 48)
        torch.testing.assert_close(fuse_batch_norms(model)(images), maps, rtol=1e-3, atol=1e-4)


def test_padding_moves_what_a_patch_sees() -> None:
    """The first patch sees the picture's first 14 pixels behind two rows of zeros, as a convolution padded by 2."""
    model = FTPPose(SINGLE).eval()
    picture = torch.randn(1, 3, 128, 96)
    padded = torch.nn.functional.pad(picture, (2, 0, 2, 0))[..., :128, :96]
    proj = model.backbone.vit.patch_embed.proj
    with torch.no_grad():
        tokens = model.backbone.vit.patch_embed(picture).reshape(1, 8, 6, -1)
        wanted = torch.nn.functional.conv2d(padded, proj.weight, proj.bias, stride=16)
    torch.testing.assert_close(tokens[0, 0, 0], wanted[0, :, 0, 0])
    torch.testing.assert_close(tokens[0, 7, 5], wanted[0, :, 7, 5])


@pytest.mark.parametrize("head", ["deconvolution", "simple"])
@pytest.mark.parametrize("upsample", [2, 4])
@pytest.mark.parametrize("branches", ["low", "both"])
def test_an_encoder_begins_with_the_single_frame_models_output(head: str, upsample: int, branches: str) -> None:
    """Bit for bit, and not because the encoder is left out: trained a step, it changes the output."""
    torch.manual_seed(0)
    single = lively(FTPPose(SINGLE.replace(head=head)))
    full = FTPPose(SINGLE.replace(head=head, frames=3, branches=branches, upsample=upsample)).eval()
    left = full.load_state_dict(single.state_dict(), strict=False)
    assert not left.unexpected_keys
    assert all(name.startswith(("encoder.", "head.cross", "head.mlp", "head.scatter")) for name in left.missing_keys)
    windows = torch.randn(2, 3, 3, 128, 96)
    wanted = single(windows).detach()
    assert torch.equal(full(windows), wanted)
    optimiser = torch.optim.SGD(full.parameters(), lr=1e-3)
    for name in ("encoder.time", "head.scatter.weight")[: 1 + (branches == "both")]:
        optimiser.zero_grad()
        full(windows).square().mean().backward()
        if name == "head.scatter.weight":
            assert full.get_parameter(name).grad.abs().max() > 0
        assert full.encoder.shared[0].attn.proj.weight.grad.abs().max() > 0
        optimiser.step()
    assert not torch.equal(full(windows), wanted)


def test_udp_places_cells_on_the_first_and_last_pixels() -> None:
    joints = torch.tensor([[[0.0, 0.0], [191.0, 255.0], [95.5, 127.5], [60.3, 200.7]]])
    targets = gaussian_targets(joints, (64, 48), codec="udp")
    assert targets[0, 0, 0, 0] == 1 and targets[0, 1, 63, 47] == pytest.approx(1, abs=1e-5)
    mirrored = gaussian_targets(torch.stack([191 - joints[..., 0], joints[..., 1]], -1), (64, 48), codec="udp")
    torch.testing.assert_close(mirrored.flip(-1), targets, atol=1e-5, rtol=1e-4)


def test_dark_finds_peaks_and_leaves_what_is_none() -> None:
    rng = np.random.default_rng(0)
    joints = rng.uniform((30, 30), (160, 220), (1, 40, 2))
    maps = gaussian_targets(torch.from_numpy(joints), (64, 48), codec="udp").numpy()
    points, confidence = decode_heatmaps(maps, codec="udp")
    assert np.abs(points - joints).max() < 0.05 and confidence.min() > 0.9
    flat, _ = decode_heatmaps(np.zeros((1, 1, 64, 48), np.float32), codec="udp")
    assert np.isfinite(flat).all() and (flat == 0).all()
    noise, _ = decode_heatmaps(rng.standard_normal((2, 17, 64, 48)), codec="udp")
    assert (noise >= -8.2).all() and (noise < (192 + 8.2, 256 + 8.2)).all()
    broken, sure = decode_heatmaps(np.full((1, 1, 64, 48), np.nan), codec="udp")
    assert np.isfinite(broken).all() and (sure == 0).all()


def test_udp_crops_show_the_box_from_the_first_to_the_last_pixel() -> None:
    box = np.array([100.0, 50.0, 100.0 + 192 / 1.25, 50.0 + 256 / 1.25])
    matrix = box_affine(box, (256, 192), "udp")
    middle, half = np.array([100 + 96 / 1.25, 50 + 128 / 1.25]), np.array([96, 128])
    np.testing.assert_allclose(transform(middle - half, matrix), (0, 0), atol=1e-9)
    np.testing.assert_allclose(transform(middle + half, matrix), (191, 255), atol=1e-9)
    assert cut(np.zeros((300, 300, 3), np.uint8), matrix, (256, 192)).shape == (256, 192, 3)


def test_options_that_make_no_sense_are_refused() -> None:
    for wrong in (
        {"head": "round"},
        {"codec": "morse"},
        {"heads": 0},
        {"patch_padding": 8},
        {"stem": "movenet", "head": "simple"},
    ):
        with pytest.raises(UsageError):
            SINGLE.replace(**wrong)
    with pytest.raises(UsageError, match="cannot be built"):
        FTPPose(SINGLE.replace(heads=5))


def test_files_of_our_own_models_stay_as_they_were() -> None:
    assert not {"heads", "class_token", "patch_padding", "head", "codec"} & set(ModelConfig().to_dict())
    assert ModelConfig.from_dict(SINGLE.to_dict()) == SINGLE


@pytest.mark.parametrize(("preset", "width", "heads"), [("vitpose-small", 384, 12), ("vitpose-base", 768, 12)])
def test_a_preset_is_what_a_file_of_its_size_has(preset: str, width: int, heads: int, tmp_path: Path) -> None:
    write_vitpose(tmp_path / "vitpose.pth", OriginalViTPose(width=width, heads=heads, depth=1))
    config, _, _ = load_weights(tmp_path / "vitpose.pth")
    expected = PRESETS[Preset(preset)].replace(depth=1)
    assert config.replace(frames=3, branches="both") == expected
