"""The estimator: joints land in picture pixels, whatever the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ftpcli.errors import FtpError, UsageError
from ftpcli.estimator import Estimator, choose_device, choose_precision
from ftpcli.records import Frame, Person, Window


def windows(count: int, seed: int = 0, size: tuple[int, int] = (120, 160)) -> list[Window]:
    """Windows of several people in several frames, some at the picture's edge, some padded."""
    rng = np.random.default_rng(seed)
    frames = [
        Frame(index, index, index / 25, rng.integers(0, 255, (*size, 3)).astype(np.uint8)) for index in range(count + 2)
    ]
    made = []
    for number in range(count):
        left, top = rng.uniform(-10, 100), rng.uniform(-10, 60)
        box = np.array([left, top, left + rng.uniform(20, 60), top + rng.uniform(40, 80)])
        key = frames[number + 1]
        padded = number % 3 == 0
        before = key if padded else frames[number]
        made.append(Window(Person(number, box, 0.9), (before, key, frames[number + 2]), (padded, False, False)))
    return made


@pytest.mark.parametrize("batch", [2, 3, 8])
def test_the_batch_changes_nothing(batch: int, tiny_model: Path) -> None:
    reference = Estimator.load(tiny_model, device="cpu", precision="fp32", batch=1).estimate(windows(8))
    batched = Estimator.load(tiny_model, device="cpu", precision="fp32", batch=batch).estimate(windows(8))
    for one, other in zip(reference, batched, strict=True):
        assert one.track_id == other.track_id and one.box is not None
        np.testing.assert_allclose(one.keypoints, other.keypoints, atol=1e-2)
        np.testing.assert_allclose(one.confidence, other.confidence, atol=1e-4)


def test_people_of_several_frames_share_a_batch(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ftpcli.model.ftp_pose import FTPPose

    honest, sizes = FTPPose.forward, []
    monkeypatch.setattr(FTPPose, "forward", lambda self, x: sizes.append(len(x)) or honest(self, x))
    Estimator.load(tiny_model, device="cpu", precision="fp32", batch=4).estimate(windows(10))
    assert sizes == [4, 4, 2]


def test_joints_are_in_picture_pixels(tiny_model: Path) -> None:
    """The same picture moved: the joints move with it."""
    estimator = Estimator.load(tiny_model, device="cpu", precision="fp32")
    rng = np.random.default_rng(3)
    patch = rng.integers(0, 255, (100, 80, 3)).astype(np.uint8)
    poses = []
    for x, y in ((40, 30), (140, 90)):
        image = np.zeros((300, 400, 3), np.uint8)
        image[y : y + 100, x : x + 80] = patch
        frame = Frame(0, 0, 0.0, image)
        person = Person(1, np.array([x + 20.0, y + 20, x + 60, y + 80]), 1.0)
        poses.append(estimator.estimate([Window(person, (frame, frame, frame), (True, False, True))])[0])
    np.testing.assert_allclose(poses[1].keypoints - poses[0].keypoints, [[100, 60]] * 19, atol=0.05)
    assert poses[0].keypoints.dtype == np.float64


def test_nobody_is_no_work(tiny_model: Path) -> None:
    assert Estimator.load(tiny_model, device="cpu").estimate([]) == []


def test_a_full_memory_is_told(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ftpcli.model.ftp_pose import FTPPose

    estimator = Estimator.load(tiny_model, device="cpu", precision="fp32", batch=4)
    honest = FTPPose.forward

    def small(self, images):  # type: ignore[no-untyped-def]
        if len(images) > 1:
            raise RuntimeError("MPS backend out of memory")
        return honest(self, images)

    monkeypatch.setattr(FTPPose, "forward", small)
    with pytest.warns(RuntimeWarning, match="out of memory on cpu with"):
        assert len(estimator.estimate(windows(3))) == 3
    monkeypatch.setattr(FTPPose, "forward", lambda self, x: (_ for _ in ()).throw(RuntimeError("sizes do not fit")))
    with pytest.raises(RuntimeError, match="sizes do not fit"):
        estimator.estimate(windows(1))
    monkeypatch.setattr(FTPPose, "forward", lambda self, x: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(FtpError, match="with a single person"):
        estimator.estimate(windows(1))


def test_devices_and_precisions() -> None:
    import torch

    assert choose_device("cpu").type == "cpu" and choose_device("auto").type in ("cpu", "cuda", "mps")
    for name in ("tpu", "cuda:x", "cuda:99", "gpu"):
        with pytest.raises(UsageError, match=f"--device {name}"):
            choose_device(name)
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="this machine has no such device"):
            choose_device("cuda")
    assert choose_precision("fp32", torch.device("cpu")) == "fp32"
    with pytest.raises(UsageError, match="--precision half"):
        choose_precision("half", torch.device("cpu"))
    with pytest.raises(UsageError, match="--batch 0"):
        Estimator.__init__(object.__new__(Estimator), None, batch=0)  # type: ignore[arg-type]
