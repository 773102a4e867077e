"""The estimator: joints land in picture pixels, whatever the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ftpcli.device import Threads, choose_device, choose_precision
from ftpcli.errors import FtpError, UsageError
from ftpcli.pose.estimator import Estimator
from ftpcli.pose.tokens import SharedTokens
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
    assert [pose.track_id for pose in reference] == [pose.track_id for pose in batched]
    # Heatmaps of random weights have cells that are equal but for rounding: which of them is the peak may differ.
    pairs = list(zip(reference, batched, strict=True))
    for tolerance, field in ((1e-2, "keypoints"), (1e-4, "confidence")):
        apart = np.array([np.abs(getattr(one, field) - getattr(other, field)) for one, other in pairs])
        assert (apart > tolerance).mean() < 0.01, field


@pytest.mark.parametrize(("most", "expected"), [(None, [2, 4, 4]), (3, [1, 1, 2, 2, 2, 2]), (2, [1, 1, 2, 2, 2, 2])])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_people_of_several_frames_share_a_batch(
    most: int | None, expected: list[int], threads: int, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ftpcli.model.ftp_pose import FTPPose

    honest, sizes = FTPPose.decode, []
    monkeypatch.setattr(FTPPose, "decode", lambda self, x: sizes.append(len(x)) or honest(self, x))
    estimator = Estimator.load(tiny_model, device="cpu", precision="fp32", batch=4 if most is None else 8)
    estimator.engine.threads = Threads(most, threads)
    estimator.estimate(windows(10))
    assert sorted(sizes) == expected


@pytest.mark.parametrize("flip_test", [False, True])
def test_the_number_of_threads_changes_nothing(flip_test: bool, tiny_model: Path) -> None:
    """Not one bit: a file is the same on any number of cores, and a run may be resumed on another."""
    estimator = Estimator.load(tiny_model, device="cpu", precision="fp32", flip_test=flip_test)
    of = {}
    for count in (1, 2, 5):
        estimator.engine.threads = Threads(2, count)
        of[count] = estimator.estimate(walking(3, 6, np.array([5.0, 5, 50, 105])))
    for count in (2, 5):
        for one, other in zip(of[1], of[count], strict=True):
            assert one.track_id == other.track_id
            np.testing.assert_array_equal(one.keypoints, other.keypoints)
            np.testing.assert_array_equal(one.confidence, other.confidence)


def walking(people: int, frames: int, view: np.ndarray | None = None) -> list[Window]:
    """People who walk to the right in all frames, seen in a view that moves with them or stays."""
    rng = np.random.default_rng(1)
    pictures = [Frame(n, n, n / 25, rng.integers(0, 255, (120, 160, 3)).astype(np.uint8)) for n in range(frames)]
    made = []
    for n, key in enumerate(pictures):
        around = (pictures[max(0, n - 1)], key, pictures[min(frames - 1, n + 1)])
        padded = (n == 0, False, n == frames - 1)
        for track in range(people):
            box = np.array([n + 20.0 * track, 10, n + 20.0 * track + 40, 100])
            made.append(Window(Person(track, box, 0.9, None if view is None else view + 20.0 * track), around, padded))
    return made


@pytest.mark.parametrize("flip_test", [False, True])
@pytest.mark.parametrize("view", [None, np.array([5.0, 5, 50, 105])])
def test_shared_tokens_are_those_of_whole_windows(
    flip_test: bool, view: np.ndarray | None, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference is the model's own ``forward`` on every window's crops."""
    import torch

    from ftpcli.model.ftp_pose import FTPPose
    from ftpcli.model.heatmap import decode_heatmaps
    from ftpcli.pose.crops import box_affine, cut, invert, normalise, transform
    from ftpcli.skeleton import Skeleton

    estimator = Estimator.load(tiny_model, device="cpu", precision="fp32", batch=4, flip_test=flip_test)
    encode, encoded = FTPPose.encode, []
    monkeypatch.setattr(FTPPose, "encode", lambda self, x: encoded.append(len(x)) or encode(self, x))
    given = walking(2, 6, view)
    poses = estimator.estimate(given)
    sides = 2 if flip_test else 1
    assert sum(encoded) == sides * (2 * 6 if view is not None else 2 * (3 * 6 - 2))  # padding is shared as well

    model, size = estimator.engine._model, estimator.config.image_size
    flip = torch.from_numpy(Skeleton("model", estimator.joints).flip)
    for window, pose in zip(given, poses, strict=True):
        matrix = box_affine(window.view, size)
        crops = np.stack([cut(frame.image, matrix, size) for frame in window.frames])
        images = normalise(torch.from_numpy(crops), torch.device("cpu"))
        with torch.inference_mode():
            chances = model(images[None])
            if flip_test and estimator.config.heatmap == "gaussian":
                chances = (chances + model(images[None].flip(-1)).flip(-1)[:, flip]) / 2
            elif flip_test:
                mirrored = model(images[None].flip(-1)).flip(-1)[:, flip]
                both = [maps.flatten(2).softmax(2).view_as(maps) for maps in (chances, mirrored)]
                chances = ((both[0] + both[1]) / 2).log()
        points, confidence = decode_heatmaps(chances.numpy(), estimator.config.heatmap, 2.0)
        assert pose.box is window.person.box
        np.testing.assert_allclose(pose.keypoints, transform(points[0], invert(matrix)), atol=0.05)
        np.testing.assert_allclose(pose.confidence, confidence[0], atol=1e-4)


def test_tokens_are_dropped_with_their_last_window(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many windows are given at once, only those of a few frames are held; at the end what may come again."""
    from ftpcli.pose.tokens import SharedTokens

    held: list[int] = []
    honest = SharedTokens.done
    monkeypatch.setattr(SharedTokens, "done", lambda self, crops: (honest(self, crops), held.append(len(self._of)))[0])
    Estimator.load(tiny_model, device="cpu", precision="fp32", batch=1).estimate(walking(2, 8, np.zeros(4) + 50))
    assert len(held) == 16 and max(held) <= 5 and held[-1] == 2


@pytest.mark.parametrize("chunk", [1, 2, 3, 5])
def test_calls_one_after_the_other_share_tokens(chunk: int, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if all windows were given at once; and what is passed over leaves the rest as it would have been."""
    estimator = Estimator.load(tiny_model, device="cpu", precision="fp32", batch=3)
    given = walking(2, 12, np.array([5.0, 5, 50, 105]))
    lots = [given[n : n + 2 * chunk] for n in range(0, len(given), 2 * chunk)]
    together = estimator.estimate(given)

    honest, encoded = Estimator._encode, []
    monkeypatch.setattr(Estimator, "_encode", lambda self, crops: encoded.append(tuple(crops)) or honest(self, crops))
    tokens = SharedTokens()
    parts = [estimator.estimate(lot, tokens) for lot in lots]
    unbroken = encoded.copy()
    assert sum(len(batch) for batch in unbroken) == 2 * 12  # every frame of both people once
    for one, other in zip(together, (pose for part in parts for pose in part), strict=True):
        np.testing.assert_allclose(one.keypoints, other.keypoints, atol=0.05)

    for known in range(1, len(lots)):
        tokens = SharedTokens()
        for lot in lots[:known]:
            estimator.pass_over(lot, tokens)
        encoded.clear()
        for lot, part in zip(lots[known:], parts[known:], strict=True):
            for one, other in zip(part, estimator.estimate(lot, tokens), strict=True):
                np.testing.assert_array_equal(one.keypoints, other.keypoints)
                np.testing.assert_array_equal(one.confidence, other.confidence)
        assert set(encoded) <= set(unbroken)  # the very batches


def test_tokens_of_other_people_are_not_carried_on(tiny_model: Path) -> None:
    estimator = Estimator.load(tiny_model, device="cpu", precision="fp32")
    given, tokens = walking(2, 12), SharedTokens()
    estimator.estimate(given[:8], tokens)
    estimator.estimate([], tokens)
    assert not tokens._of
    for one, other in zip(estimator.estimate(given[8:]), estimator.estimate(given[8:], tokens), strict=True):
        np.testing.assert_array_equal(one.keypoints, other.keypoints)


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
    estimator.engine.threads = Threads(None)  # as on a GPU: whole batches
    honest = FTPPose.decode

    def small(self, tokens):  # type: ignore[no-untyped-def]
        if len(tokens) > 1:
            raise RuntimeError("MPS backend out of memory")
        return honest(self, tokens)

    monkeypatch.setattr(FTPPose, "decode", small)
    with pytest.warns(RuntimeWarning, match="out of memory on cpu with"):
        assert len(estimator.estimate(windows(3))) == 3
    monkeypatch.setattr(FTPPose, "decode", lambda self, x: (_ for _ in ()).throw(RuntimeError("sizes do not fit")))
    with pytest.raises(RuntimeError, match="sizes do not fit"):
        estimator.estimate(windows(1))
    monkeypatch.setattr(FTPPose, "encode", lambda self, x: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(FtpError, match="with a single person"):
        estimator.estimate(windows(1))


def test_devices_and_precisions() -> None:
    import torch

    assert choose_device("cpu").type == "cpu" and choose_device("auto").type in ("cpu", "cuda", "mps")
    for name in ("tpu", "cuda:x", "cuda:99", "cuda:²", "cuda:", "cpu:", "cpu:1", "mps:1", "gpu"):
        with pytest.raises(UsageError, match=f"--device {name}"):
            choose_device(name)
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="this machine has no such device"):
            choose_device("cuda")
    assert choose_precision("fp32", torch.device("cpu")) == "fp32"
    with pytest.raises(UsageError, match="--precision half"):
        choose_precision("half", torch.device("cpu"))
    with pytest.raises(UsageError, match="--batch 0"):
        Estimator(None, batch=0)  # type: ignore[arg-type]
