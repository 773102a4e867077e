"""The model: shapes, configurations of the paper's tables, shared parameters, encode and decode."""

from __future__ import annotations

import pytest
import torch

from ftpcli.errors import UsageError
from ftpcli.model.choices import Preset
from ftpcli.model.config import PRESETS, ModelConfig
from ftpcli.model.encoder import sine_cosine
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.model.fuse import fuse_batch_norms

SMALL = ModelConfig(
    backbone="vit_tiny_patch16_224", depth=2, image_size=(64, 48), width=64, shared_blocks=1, head_width=16
)


def build(config: ModelConfig, seed: int = 0) -> FTPPose:
    """A model whose zero-initialised parts are random too, so that every path shows in the output."""
    torch.manual_seed(seed)
    model = FTPPose(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05)
    return model


@pytest.mark.parametrize(
    ("name", "full", "baseline"),
    [("tiny", 7.71, 7.40), ("small", 34.75, 32.92), ("base", 77.50, 72.11)],
)
def test_parameter_counts_in_millions(name: str, full: float, baseline: float) -> None:
    def millions(config: ModelConfig) -> float:
        with torch.device("meta"):  # numbers are not needed
            return sum(p.numel() for p in FTPPose(config).parameters()) / 1e6

    config = PRESETS[name]
    assert millions(config.replace(branches="both")) == pytest.approx(full, abs=0.06)
    assert millions(config.replace(branches="low", high_ratio=1, low_ratio=1)) == pytest.approx(baseline, abs=0.06)


@pytest.mark.parametrize("frames", [1, 3, 5])
@pytest.mark.parametrize("upsample", [2, 4])
@pytest.mark.parametrize("branches", ["none", "low", "both"])
def test_output_shape(frames: int, upsample: int, branches: str) -> None:
    model = build(SMALL.replace(frames=frames, upsample=upsample, branches=branches))
    with torch.no_grad():
        heatmaps = model(torch.randn(2, frames, 3, 64, 48))
    assert heatmaps.shape == (2, 19, 16, 12)
    assert torch.isfinite(heatmaps).all()


@pytest.mark.parametrize("ratio", [1, 3, 6, 10])
def test_ratios_keep_the_paper_s_token_counts(ratio: int) -> None:
    config = ModelConfig(high_ratio=ratio, low_ratio=ratio, depth=1)
    model = build(config)
    assert model.encoder is not None
    with torch.no_grad():
        encoded = model.encoder(torch.randn(1, 3, 192, 192), config.grid)
    assert encoded.low.shape[1] == 576 // ratio
    assert encoded.high is not None and encoded.high.shape[1] == 768 // ratio
    assert encoded.key.shape == (1, 192, 192)


def test_the_key_frame_may_be_kept_whole() -> None:
    """Then its neighbours alone are pruned, and every token of the key frame is refined."""
    config = SMALL.replace(branches="low", coarse_blocks=0, keep_key=True)
    torch.manual_seed(0)
    encoder = FTPPose(config).encoder
    assert encoder is not None
    count = config.grid[0] * config.grid[1]
    tokens = torch.randn(2, 3 * count, config.width)
    index = encoder._select_low(tokens, count)
    assert index.shape == (2, count + 2 * count // config.low_ratio)
    for row in index.tolist():
        assert len(set(row)) == len(row) and set(range(count, 2 * count)) < set(row) <= set(range(3 * count))
    assert torch.equal(encoder._select_low(tokens[:, :count], count), torch.arange(count).expand(2, -1))


@pytest.mark.parametrize("blocks", [1, 2])
def test_of_the_key_frame_kept_whole_nothing_else_is_computed(blocks: int) -> None:
    """Not the neighbours' own tokens in the last block, which nobody reads: the same as the whole block's output."""
    torch.manual_seed(0)
    config = SMALL.replace(branches="low", coarse_blocks=0, keep_key=True, shared_blocks=blocks, low_ratio=2)
    encoder = build(config).encoder
    assert encoder is not None
    for parameter in encoder.parameters():  # blocks begin as nothing
        torch.nn.init.normal_(parameter, std=0.1)
    tokens = torch.randn(2, 18, config.width)
    with torch.no_grad():
        torch.testing.assert_close(encoder._refine(tokens, needed=12), encoder._refine(tokens)[:, :12])
        key, _ = encoder(torch.randn(2, 3, 12, config.width), config.grid)[:2]
    assert key.shape == (2, 12, config.width)


def test_encode_then_decode_is_forward() -> None:
    model = build(SMALL)
    windows = torch.randn(2, 3, 3, 64, 48)
    with torch.no_grad():
        tokens = torch.stack([model.encode(windows[:, t]) for t in range(3)], dim=1)
        torch.testing.assert_close(model.decode(tokens), model(windows), rtol=1e-4, atol=1e-5)


def test_neighbours_matter_with_the_encoder_and_not_without() -> None:
    windows = torch.randn(1, 3, 3, 64, 48)
    other = windows.clone()
    other[:, 0] = torch.randn(1, 3, 64, 48)
    with torch.no_grad():
        both, none = build(SMALL), build(SMALL.replace(branches="none"))
        assert not torch.allclose(both(windows), both(other), atol=1e-4)
        assert torch.equal(none(windows), none(other))


def test_the_low_resolution_branch_knows_where_its_tokens_are() -> None:
    """Without positions, tokens moved about in all frames alike would come out moved about and otherwise the same."""
    config = SMALL.replace(branches="low", low_ratio=1)
    encoder = build(config).encoder
    assert encoder is not None
    tokens, order = torch.randn(1, 3, 12, 64), torch.randperm(12)
    with torch.no_grad():
        moved, kept = encoder(tokens[:, :, order], config.grid).key, encoder(tokens, config.grid).key[:, order]
    assert (moved - kept).abs().max() > 1e-3


def test_both_branches_use_one_set_of_blocks() -> None:
    model = build(SMALL)
    assert model.encoder is not None
    calls: list[int] = []
    model.encoder.shared[0].register_forward_hook(lambda *_: calls.append(1))
    model(torch.randn(1, 3, 3, 64, 48)).sum().backward()
    assert len(calls) == 2
    named = {name for name, _ in model.named_parameters()}
    assert (
        len([name for name in named if "attn.qkv.weight" in name and "encoder" in name]) == 2
    )  # one coarse, one shared


def test_a_fresh_encoder_leaves_the_single_frame_model_s_output() -> None:
    torch.manual_seed(1)
    single = FTPPose(SMALL.replace(branches="none")).eval()
    full = FTPPose(SMALL).eval()
    full.load_state_dict(single.state_dict(), strict=False)
    windows = torch.randn(1, 3, 3, 64, 48)
    with torch.no_grad():
        torch.testing.assert_close(full(windows), single(windows), rtol=1e-4, atol=1e-5)


def test_other_crop_sizes_and_projected_width() -> None:
    model = build(SMALL.replace(width=128))
    with torch.no_grad():
        assert model(torch.randn(1, 3, 3, 96, 64)).shape == (1, 19, 24, 16)


def test_gradients_reach_every_parameter() -> None:
    model = build(SMALL).train()
    model(torch.randn(2, 3, 3, 64, 48)).square().sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []


def test_the_backbone_can_learn_from_key_frames_alone() -> None:
    model = build(SMALL)
    windows = torch.randn(2, 3, 3, 64, 48, requires_grad=True)
    whole, key_only = model(windows), model(windows, key_gradient_only=True)
    assert torch.allclose(whole, key_only, atol=1e-5)
    key_only.square().sum().backward()
    assert windows.grad is not None
    assert windows.grad[:, 1].any() and not windows.grad[:, 0].any() and not windows.grad[:, 2].any()


@pytest.mark.parametrize("stem", ["patch", "movenet"])
@pytest.mark.parametrize("upsample", [2, 4])
def test_folded_batch_norms_are_the_same_function(stem: str, upsample: int) -> None:
    model = build(SMALL.replace(stem=stem, upsample=upsample)).double()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.3, 2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fused = fuse_batch_norms(model)
    left = [name for name, module in fused.named_modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert left == (["backbone.vit.patch_embed.norm"] if stem == "movenet" else [])  # which no convolution is before
    windows = torch.rand(2, 3, 3, 64, 48, dtype=torch.float64)
    with torch.inference_mode():
        wanted = model(windows)
        assert torch.allclose(fused(windows), wanted, atol=1e-9) and wanted.std() > 1e-3
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("stem", ["patch", "movenet"])
def test_depth_counts_the_backbone_s_blocks(stem: str) -> None:
    model = build(SMALL.replace(stem=stem, depth=3))
    assert model.backbone.depth == 3
    with torch.no_grad():
        assert model(torch.randn(1, 3, 3, 64, 48)).shape == (1, 19, 16, 12)


def test_same_weights_same_output_and_gaussian_preset_values() -> None:
    windows = torch.randn(1, 3, 3, 64, 48)
    with torch.no_grad():
        assert torch.equal(build(SMALL, 3)(windows), build(SMALL, 3)(windows))
    assert set(PRESETS) == set(Preset)


@pytest.mark.parametrize(
    "change",
    [
        {"backbone": "resnet50"},
        {"backbone": "vit_nothing_patch16_9"},
        {"image_size": (250, 192)},
        {"frames": 2},
        {"selector": "best"},
        {"low_ratio": 0},
        {"temperature": 0.0},
        {"depth": 0},
    ],
)
def test_impossible_configurations_are_one_clear_error(change: dict) -> None:
    with pytest.raises(UsageError) as caught:
        FTPPose(SMALL.replace(**change))
    assert "\n" not in str(caught.value)


def test_configuration_survives_a_dictionary() -> None:
    config = PRESETS["base"].replace(temperature=3.0)
    assert ModelConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ValueError, match="colour"):
        ModelConfig.from_dict({"colour": 1})


def test_a_table_of_positions_that_inference_made_serves_training() -> None:
    with torch.inference_mode():
        first = sine_cosine(5, 7, 64, torch.device("cpu"))
    assert not first.is_inference()
    assert sine_cosine(5, 7, 64, torch.device("cpu")) is first
