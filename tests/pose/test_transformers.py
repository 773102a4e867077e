"""Parity with transformers' VitPoseForPoseEstimation and its processor, from random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from ftpcli.model.heatmap import decode_heatmaps
from ftpcli.pose.crops import box_affine, cut, invert, normalise, transform
from ftpcli.pose.weights import build_model, save_weights

SIZE = (256, 192)
#: Width, depth, heads, experts and channels of an expert; depths are cut where numbers do not depend on them.
KINDS = {
    "small": (384, 12, 12, 1, 0),
    "base": (768, 2, 12, 1, 0),
    "plus-small": (384, 4, 12, 6, 96),
    "large": (1024, 2, 16, 1, 0),
}


def reference(kind: str, simple: bool, folder: Path) -> Any:
    """Saved by transformers itself into ``folder``."""
    transformers = pytest.importorskip("transformers")
    width, depth, heads, experts, part = KINDS[kind]
    backbone = transformers.VitPoseBackboneConfig(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        num_experts=experts,
        part_features=part,
        out_indices=[depth],
    )
    torch.manual_seed(0)
    config = transformers.VitPoseConfig(backbone_config=backbone, num_labels=17, use_simple_decoder=simple)
    model = transformers.VitPoseForPoseEstimation(config).eval()
    for name, value in model.state_dict().items():  # everything that a fresh network has at 0 or 1 as well
        if value.is_floating_point() and (value.ndim == 1 or "position" in name or "head" in name):
            value.add_(torch.randn_like(value) * (0.1 if value.ndim == 1 or "position" in name else 0.02))
        if name.endswith("running_var"):
            value.abs_().add_(0.1)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize(
    ("kind", "simple"), [("small", False), ("base", True), ("plus-small", False), ("large", False)]
)
def test_heatmaps_are_those_of_transformers(kind: str, simple: bool, tmp_path: Path) -> None:
    theirs = reference(kind, simple, tmp_path)
    model, provenance = build_model(tmp_path / "model.safetensors")
    images = torch.randn(2, 3, *SIZE)
    experts = {"dataset_index": torch.zeros(2, dtype=torch.long)} if kind.startswith("plus") else {}
    with torch.no_grad():
        wanted = theirs(images, **experts).heatmaps
        found = model(images[:, None])
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    save_weights(tmp_path / "ours.safetensors", model.state_dict(), model.config, provenance, exact=True)
    again, _ = build_model(tmp_path / "ours.safetensors")
    with torch.no_grad():
        assert torch.equal(again(images[:, None]), found)


def real_people() -> list[tuple[np.ndarray, np.ndarray]]:
    """25 people: RGB pictures that ultralytics brings along, and boxes (xywh) about those in them."""
    from ultralytics.utils import ASSETS

    people = {
        "bus.jpg": ((50, 400, 195, 505), (223, 405, 122, 455), (669, 390, 141, 490)),
        "zidane.jpg": ((123, 197, 987, 514), (747, 41, 395, 670)),
    }
    rng = np.random.default_rng(1)
    found = []
    for name, boxes in people.items():
        picture = cv2.cvtColor(cv2.imread(str(ASSETS / name)), cv2.COLOR_BGR2RGB)
        for box in np.array(boxes, np.float64):
            found += [(picture, box + rng.uniform(-0.05, 0.05, 4) * box[[2, 3, 2, 3]]) for _ in range(5)]
    return found


def edges(box: np.ndarray) -> np.ndarray:
    """xywh -> xyxy."""
    return np.concatenate([box[:2], box[:2] + box[2:]])


def test_crops_are_those_of_transformers_processor() -> None:
    pytest.importorskip("scipy")
    transformers = pytest.importorskip("transformers")
    from transformers.models.vitpose.image_processing_vitpose import box_to_center_and_scale, get_warp_matrix

    processor = transformers.VitPoseImageProcessor()
    for picture, box in real_people()[::3]:
        matrix = box_affine(edges(box), SIZE, "udp")
        centre, scale = box_to_center_and_scale(box, SIZE[1], SIZE[0])
        warp = get_warp_matrix(0, centre * 2.0, np.array((SIZE[1], SIZE[0])) - 1.0, scale * 200.0)
        np.testing.assert_allclose(matrix, warp, rtol=1e-5, atol=2e-3)
        if np.linalg.det(matrix[:, :2]) > 0.25:  # pictures that shrink more are averaged first, which theirs are not
            crop = cut(picture, matrix, SIZE)
            inputs = processor(torch.from_numpy(picture).movedim(-1, 0), boxes=[[box.tolist()]], return_tensors="pt")
            ours = normalise(torch.from_numpy(crop), torch.device("cpu"))
            assert (ours - inputs["pixel_values"][0]).abs().mean() < 0.02  # OpenCV reads between pixels in 32nds


def test_joints_are_those_of_transformers_processor(tmp_path: Path) -> None:
    """From 25 people's crops to joints in the picture, by its model and processor, and by ours."""
    pytest.importorskip("scipy")
    theirs = reference("small", False, tmp_path)
    transformers = pytest.importorskip("transformers")
    model, _ = build_model(tmp_path / "model.safetensors")
    people = real_people()
    matrices = [box_affine(edges(box), SIZE, "udp") for _, box in people]
    crops = [cut(picture, matrix, SIZE) for (picture, _), matrix in zip(people, matrices, strict=True)]
    images = normalise(torch.from_numpy(np.stack(crops)), torch.device("cpu"))
    with torch.no_grad():
        outputs = theirs(images)
        heatmaps = model(images[:, None])
    found, confidence = decode_heatmaps(heatmaps.numpy(), codec="udp")
    points = np.stack([transform(one, invert(matrix)) for one, matrix in zip(found, matrices, strict=True)])
    wanted = transformers.VitPoseImageProcessor().post_process_pose_estimation(outputs, [[box] for _, box in people])
    wanted_points = np.stack([one["keypoints"].numpy() for (one,) in wanted])
    scores = np.stack([one["scores"].numpy() for (one,) in wanted])
    np.testing.assert_allclose(confidence, np.clip(scores, 0, 1), atol=1e-5)
    apart = np.abs(points - wanted_points).max(axis=2)
    # Random networks' maps have ridges beside peaks, where DARK's formula leads far out of the picture; ours stays.
    cells = np.stack(np.unravel_index(heatmaps.flatten(2).argmax(2).numpy(), (64, 48))[::-1], axis=2)
    peaks = np.stack([transform(c * (191 / 47, 255 / 63), invert(m)) for c, m in zip(cells, matrices, strict=True)])
    steps = np.abs(wanted_points - peaks).max(axis=2) * np.array([m[0, 0] for m in matrices])[:, None]
    near = steps < 7.9  # two cells
    assert near.mean() > 0.9
    assert (apart[near] <= 0.01).all()
    assert (np.abs(points - peaks)[steps > 8.2] < 1e-6).all()
