"""MoveNet's trunk as a stem: the same numbers as its own file gives, at any size; other files are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ftpcli.errors import InputError, UsageError
from ftpcli.model.config import ModelConfig
from ftpcli.model.encoder import MultiGrainedFeatureEncoder
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.model.fuse import fuse_batch_norms, pack_convolutions
from ftpcli.model.movenet import FINE, MEAN, STD, MoveNetTrunk
from ftpcli.pose import crops
from ftpcli.pose.crops import normalise
from ftpcli.pose.weights import build_model, save_weights
from ftpcli.skeleton import COCO17
from ftpcli.training.initialise import starting_state
from ftpcli.training.optimiser import build_optimisers
from ftpcli.training.recipe import Recipe

CONFIG = ModelConfig(stem="movenet", depth=1, image_size=(64, 48), branches="none", frames=1, heatmap="softmax")


@pytest.fixture(scope="module")
def thunder(shared: Path) -> Path:
    pytest.importorskip("onnx")
    path = shared / "teachers/movenet_thunder.onnx"
    if not path.is_file():
        pytest.skip("MoveNet Thunder's file is not beside this checkout")
    return path


@pytest.fixture(scope="module")
def taught(thunder: Path) -> FTPPose:
    """A model that starts with MoveNet's weights."""
    model = FTPPose(CONFIG).eval()
    state = starting_state(CONFIG, None, thunder)
    assert not model.load_state_dict(state, strict=False).unexpected_keys
    untouched = [name for name in model.state_dict() if name not in state]
    assert not [name for name in untouched if name.startswith(("backbone.trunk.", "head.fine."))]
    return model


def test_the_features_and_heatmaps_are_movenets_own(thunder: Path, taught: FTPPose) -> None:
    """Every map of the pyramid, and the head's logits before a token has said anything; relative to the largest."""
    import onnx

    onnxruntime = pytest.importorskip("onnxruntime")
    file = onnx.load(str(thunder))
    sums = [n.output[0] for n in file.graph.node if n.op_type == "Add" and "tf.__operators__" in n.output[0]][:2]
    fine = next(n.output[0] for n in file.graph.node if n.op_type == "Relu" and "/re_lu_2/" in n.output[0])
    logits = next(n.output[0] for n in file.graph.node if "kpt_heatmap_0/conv2d_5" in n.output[0])
    wanted = [*sums, fine, logits]
    file.graph.output.extend(onnx.helper.make_tensor_value_info(name, 1, None) for name in wanted)
    session = onnxruntime.InferenceSession(file.SerializeToString(), providers=["CPUExecutionProvider"])
    picture = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), dtype=np.uint8)
    theirs = session.run(wanted, {"image": picture.astype(np.int32)})
    with torch.no_grad():
        images = normalise(torch.from_numpy(picture), torch.device("cpu"))
        assert taught.backbone.trunk is not None
        ours = [*taught.backbone.trunk.pyramid(images), taught(images[:, None])[:, : len(COCO17.joints)]]
    for own, their in zip(ours, theirs, strict=True):
        assert own.shape == their.shape
        assert np.abs(own.numpy() - their).max() <= 1e-4 * max(1.0, np.abs(their).max())


def test_it_undoes_the_crops_own_normalisation() -> None:
    assert np.allclose(MEAN, crops.MEAN)
    assert np.allclose(STD, crops.STD)


@pytest.mark.parametrize("size", [(64, 48), (192, 144), (256, 192), (48, 80), (32, 32)])
def test_any_multiple_of_16(size: tuple[int, int]) -> None:
    trunk = MoveNetTrunk().eval()
    height, width = size
    with torch.no_grad():
        seen, fine = trunk(torch.rand(2, 3, height, width)), trunk.pyramid(torch.rand(2, 3, height, width))[2]
        heatmaps = FTPPose(CONFIG).eval()(torch.rand(2, 1, 3, height, width))
    assert seen.shape == (2, MoveNetTrunk.token_channels, height // 16, width // 16)
    assert fine.shape == (2, FINE, height // 4, width // 4)
    assert heatmaps.shape == (2, 19, height // 4, width // 4)


@pytest.mark.parametrize("axis", [2, 3])
def test_cells_of_an_odd_grid_lie_where_those_of_an_even_one_do(axis: int) -> None:
    trunk = MoveNetTrunk().eval()
    picture = torch.zeros(1, 3, 64, 960)
    picture[..., 448:512] = torch.rand(3, 64, 64)
    with torch.no_grad():
        even, odd = (trunk.pyramid(picture[..., cut:].transpose(3, axis))[2].transpose(3, axis) for cut in (0, 16))
    inner = even[..., 112:128]  # as far from the ends as the network sees
    assert torch.allclose(inner, odd[..., 108:124], atol=1e-4 * inner.abs().max())


def test_other_files_are_refused(thunder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"multipose.onnx: not MoveNet Thunder \(\d+ of \d+ convolutions"):
        starting_state(CONFIG, None, thunder.with_name("movenet_multipose.onnx"))
    with pytest.raises(InputError, match="not MoveNet Thunder"):
        starting_state(CONFIG, None, thunder.with_name("nanodet_g_416.onnx"))
    text = tmp_path / "text.onnx"
    text.write_text("no protobuf")
    with pytest.raises(InputError, match=r"text.onnx: (cannot be read|not MoveNet Thunder)"):
        starting_state(CONFIG, None, text)
    with pytest.raises(InputError, match="no such file or folder"):
        starting_state(CONFIG, None, tmp_path / "absent.onnx")
    with pytest.raises(UsageError, match="need --stem movenet"):
        starting_state(CONFIG.replace(stem="patch"), None, thunder)


def test_without_onnx(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(UsageError, match="pip install onnx"):
        starting_state(CONFIG, None, tmp_path / "thunder.onnx")


@pytest.mark.parametrize(("branches", "depth"), [("low", 1), ("both", 1), ("both", 0)])
def test_windows_with_another_width_than_the_backbones(branches: str, depth: int, tmp_path: Path) -> None:
    """The finest map goes past the encoder to the head, through a file of weights as well."""
    config = CONFIG.replace(branches=branches, depth=depth, frames=3, width=128, shared_blocks=1)
    model = FTPPose(config).eval()
    windows = torch.rand(2, 3, 3, 64, 48)
    state = {name: value.half().float() for name, value in model.state_dict().items()}  # as the file holds them
    model.load_state_dict(state)
    save_weights(tmp_path / "w.safetensors", state, config, {})
    again, _ = build_model(tmp_path / "w.safetensors")
    with torch.no_grad():
        tokens = model.encode(windows[:, 1])
        heatmaps = model(windows)
        assert torch.equal(heatmaps, again(windows))
    assert tokens.shape == (2, 12, 128 + 16 * FINE)
    assert heatmaps.shape == (2, 19, 16, 12)


def test_only_this_stem_goes_without_blocks() -> None:
    with pytest.raises(UsageError, match="depth = 0: it must be at least 1"):
        CONFIG.replace(stem="patch", depth=0)
    with pytest.raises(UsageError, match="depth = -1: it must be at least 0"):
        CONFIG.replace(depth=-1)


def test_the_trunk_learns_at_a_rate_of_its_own() -> None:
    model = FTPPose(CONFIG)
    optimisers = build_optimisers(model, Recipe(backbone_lr=0.5, layer_decay=1.0, stem_lr=0.1))
    scales = {id(p): g["scale"] for o in optimisers for g in o.param_groups for p in g["params"]}
    assert model.backbone.trunk is not None
    assert {scales[id(p)] for p in model.backbone.trunk.parameters()} == {0.05}
    assert {scales[id(p)] for p in model.backbone.vit.blocks.parameters()} == {0.5}


def test_packed_convolutions_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rectifiers done with the convolution before them; other sizes and numbers of pictures than the example's."""
    model = fuse_batch_norms(FTPPose(CONFIG))
    packed = fuse_batch_norms(model)
    with torch.inference_mode():
        pack_convolutions(packed, lambda: packed(torch.zeros(2, 1, 3, 64, 48)))
        left = [m for m in packed.modules() if type(m) in (torch.nn.Conv2d, torch.nn.ReLU6)]
        assert not left or not torch.backends.mkldnn.is_available()
        for shape in ((2, 1, 3, 64, 48), (3, 1, 3, 80, 48)):
            windows = torch.rand(shape)
            own, wanted = packed(windows), model(windows)
            assert (own - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    plain = fuse_batch_norms(model)
    pack_convolutions(plain, lambda: None)
    assert [type(m) for m in plain.modules()] == [type(m) for m in model.modules()]


def test_fine_maps_are_seen_by_the_high_resolution_branch() -> None:
    """Before training they change nothing; then a token's four cells of the branch get what the map has there."""
    torch.manual_seed(0)
    config = CONFIG.replace(branches="both", frames=3, fine_maps=True, shared_blocks=1, high_ratio=1)
    encoder = MultiGrainedFeatureEncoder(config)
    tokens, nothing = torch.rand(1, 3, 12, config.width), torch.zeros(1, 12, 16 * FINE)
    detail = nothing.clone().unflatten(2, (FINE, 4, 4))
    detail[0, 5, :, 2:, :2] = 1  # token 5 (row 1, column 2): its lower left quarter
    with torch.no_grad():
        plain = encoder(tokens, (4, 3), nothing).high
        assert plain is not None and encoder.fine is not None
        assert torch.equal(encoder(tokens, (4, 3), detail.flatten(2)).high, plain)
        encoder.fine.weight.fill_(0.1)
        seen = encoder(tokens, (4, 3), detail.flatten(2)).high
    assert seen is not None and (seen - plain)[0].abs().sum(dim=1).nonzero().tolist() == [[3 * 6 + 4]]
    with pytest.raises(UsageError, match="only the movenet stem"):
        config.replace(stem="patch")
