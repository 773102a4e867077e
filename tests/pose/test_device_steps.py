"""What is done on a device beside the reference on the CPU. Torch's CPU stands in for an accelerator."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from ftpcli.device import OnDevice
from ftpcli.model.choices import Codec
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.people.loading import load_detector
from ftpcli.pose.crops import box_affine, cut, shrinking
from ftpcli.pose.device_crops import cut_together
from ftpcli.pose.estimator import Estimator
from tests.pose.test_estimator import walking, windows
from tests.support.tiny import CONFIG, tiny_weights

SIZE = (240, 160)


def test_crops_are_the_references(photo: np.ndarray) -> None:
    """Small and large, inside and across the edges, of pictures of two sizes: one level in 255 at most,
    where a value lies halfway between two."""
    pixels = np.random.default_rng(0)
    pictures = [photo, np.ascontiguousarray(photo[300:800, :, ::-1])]
    shown = [pictures[number % 2] for number in range(40)]
    matrices = []
    for number, image in enumerate(shown):
        height, width = image.shape[:2]
        place, side = (
            pixels.uniform(-0.1, 0.9, 2) * (width, height),
            np.exp(pixels.uniform(np.log(9), np.log(2 * width))),
        )
        box = np.array([*place, *(place + side * np.array([1, pixels.uniform(0.8, 3)]))])
        matrices.append(box_affine(box, SIZE, Codec.UDP if number % 3 else Codec.CENTRED))
    matrices[7] = box_affine(np.array([1e4, 1e4, 1.1e4, 1.2e4]), SIZE)  # nothing of the picture
    matrices[8] = box_affine(np.array([-1e6, -1e6, 1e6, 1e6]), SIZE)  # all of it in less than a pixel
    assert {1, 2, 3} <= set(shrinking(np.stack(matrices)).tolist())
    found = cut_together([torch.from_numpy(image) for image in shown], np.stack(matrices), SIZE).numpy()
    expected = np.stack([cut(image, matrix, SIZE) for image, matrix in zip(shown, matrices, strict=True)])
    assert np.abs(found - expected).max() <= 1 and (found != expected).mean() < 0.01
    assert expected[:5].mean() > 20 and not found[7].any()


@pytest.mark.parametrize("flip_test", [False, True])
@pytest.mark.parametrize("heatmap", ["softmax", "gaussian"])
@pytest.mark.parametrize("codec", ["centred", "udp"])
def test_joints_are_the_references(heatmap: str, codec: str, flip_test: bool, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, heatmap=heatmap, codec=codec)
    weights = tiny_weights(tmp_path / "m.safetensors", config=config)
    given = [*windows(8), *walking(3, 4, np.array([5.0, 5, 50, 105]))]
    expected, found = (
        Estimator.load(weights, device=device, precision="fp32", flip_test=flip_test).estimate(given)
        for device in ("cpu", "cpu:0")
    )
    _same(found, expected, 0.1)


def test_joints_of_people_are_the_references(photo: np.ndarray) -> None:
    """The bundled weights on people of a photograph."""
    from ftpcli.records import Frame, Person, Window

    frame = Frame(0, 0, 0.0, photo)
    boxes = np.array([[49, 399, 245, 903], [223, 405, 345, 860], [669, 392, 810, 877]], float)
    given = [Window(Person(n, box, 0.9), (frame,) * 3, (False,) * 3) for n, box in enumerate(boxes)]
    expected, found = (Estimator.load(device=device, precision="fp32").estimate(given) for device in ("cpu", "cpu:0"))
    _same(found, expected, 0.1)


def _same(found: list, expected: list, tolerance: float) -> None:
    """Ids, and nearly all joints: of two peaks that are about as high either may be taken."""
    assert [pose.track_id for pose in found] == [pose.track_id for pose in expected]
    apart = np.array([np.abs(a.keypoints - b.keypoints).max(axis=1) for a, b in zip(found, expected, strict=True)])
    assert np.median(apart) < tolerance / 10 and (apart > tolerance).mean() < 0.02
    sure = np.array([np.abs(a.confidence - b.confidence) for a, b in zip(found, expected, strict=True)])
    assert np.quantile(sure, 0.98) < 5e-3
    assert all(pose.keypoints.dtype == np.float64 == pose.confidence.dtype for pose in found)


def test_the_batch_changes_nothing(tiny_model: Path) -> None:
    given = [*windows(8), *walking(3, 4)]
    together, *others = (
        Estimator.load(tiny_model, device="cpu:0", precision="fp32", batch=batch).estimate(given)
        for batch in (64, 1, 3)
    )
    for few in others:
        _same(few, together, 0.01)


def test_networks_meet_few_sizes_of_batches(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each of which an accelerator would prepare all convolutions."""
    sizes: list[int] = []
    for name in ("encode", "decode"):
        honest = getattr(FTPPose, name)
        noting = lambda self, batch, *rest, honest=honest: sizes.append(len(batch)) or honest(self, batch, *rest)  # noqa: E731
        monkeypatch.setattr(FTPPose, name, noting)
    one = Estimator.load(tiny_model, device="cpu:0", precision="fp32")
    given = [*windows(8), *walking(3, 4)]
    assert all(len(one.estimate(given[:count])) == count for count in range(1, len(given)))
    assert len(given) > 9 and set(sizes) <= {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64} and len(sizes) > 18
    detector, pictures = load_detector(device="cpu:0"), [np.full((48, 64, 3), 90, np.uint8)] * 7
    sizes.clear()
    honest = detector.network._network.forward  # type: ignore[attr-defined]
    monkeypatch.setattr(detector.network._network, "forward", lambda x: sizes.append(len(x)) or honest(x))  # type: ignore[attr-defined]
    assert [len(detector.detect_batch(pictures[:count])) for count in (5, 7)] == [5, 7] and sizes == [6, 8]


def test_a_picture_goes_to_the_device_once_and_leaves_with_its_last_user() -> None:
    pictures = OnDevice(torch.device("meta"))  # as on an accelerator, copies are others than the picture
    image = np.zeros((4, 6, 3), np.uint8)
    copy = pictures(image)
    assert copy.device.type == "meta" and copy.shape == (4, 6, 3) and copy.dtype == torch.uint8
    assert pictures(image) is copy
    other = image[:, ::-1]  # a picture of its own
    assert pictures(other) is not copy and len(pictures._copies) == 2
    del other
    assert len(pictures._copies) == 1
    del image
    assert not pictures._copies
    image = np.zeros((4, 6, 3), np.uint8)
    image.flags.writeable = False
    assert OnDevice(torch.device("cpu"))(image).shape == (4, 6, 3)


@pytest.mark.parametrize("stem", ["patch", "movenet"])
def test_weights_that_are_rounded_once_give_what_autocast_gives(stem: str, tmp_path: Path) -> None:
    """To the bit."""
    from ftpcli.model.ftp_pose import FTPPose
    from ftpcli.model.fuse import fuse_batch_norms
    from ftpcli.pose.crops import normalise
    from ftpcli.pose.torch_engine import TorchEngine

    config = dataclasses.replace(CONFIG, stem=stem, branches="both", image_size=(64, 48))
    torch.manual_seed(0)
    model = FTPPose(config).eval()
    engine = TorchEngine(model, device="cpu", precision="bf16")
    assert {w.dtype for w in engine._model.head.parameters()} >= {torch.bfloat16}
    crops = np.random.default_rng(0).integers(0, 256, (3, 64, 48, 3)).astype(np.uint8)
    found = engine.decode([list(engine.encode(crops))])
    reference = fuse_batch_norms(model).to(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        images = normalise(torch.from_numpy(crops), torch.device("cpu")).contiguous(memory_format=torch.channels_last)
        expected = reference.decode(torch.stack(list(reference.encode(images)))[None]).float().numpy()
    np.testing.assert_array_equal(found, expected)
