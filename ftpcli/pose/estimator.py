"""Runs the pose model on windows: crops in batches, heatmaps back to joints in picture pixels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ftpcli.device import MOST_BATCH, default_batch, is_accelerator
from ftpcli.errors import FtpError, InputError, UsageError, is_out_of_memory
from ftpcli.files.stages import Stage, stage
from ftpcli.model.config import ModelConfig
from ftpcli.pose.crops import box_affine, invert, transform
from ftpcli.pose.engine import PoseEngine, Tokens, load_engine
from ftpcli.pose.steps import Steps
from ftpcli.pose.tokens import Crop, SharedTokens
from ftpcli.pose.weights import describe_weights, weights_path
from ftpcli.records import Pose, Window
from ftpcli.skeleton import Skeleton


class Estimator:
    """A pose model ready to look at windows.

    Args:
        engine: what computes the model.
        sigma: of the heatmaps that it was trained on, in cells.
        flip_test: average the heatmaps of each window and of its mirror image: better joints at twice the cost.

    Attributes:
        joints: names of the keypoints it returns.
        window: how many frames a window must have.
        batch: windows that go through the model at a time, as asked for; ``default_batch`` where nothing was. Results
            depend on it in their last bits.
        calibration: knots of a rising line from the heatmaps' confidence to the share of joints that are right; None
            leaves confidence as it is. Weights bring their own (``samples/calibrate_confidence.py``).
        notice: called with one line when a batch did not fit in memory; a Python warning unless set.
    """

    notice: Callable[[str], None]

    def __init__(
        self, engine: PoseEngine, *, batch: int | None = None, sigma: float = 2.0, flip_test: bool = False
    ) -> None:
        batch = default_batch(engine.device) if batch is None else batch
        if not 1 <= batch <= MOST_BATCH:
            raise UsageError(f"--batch {batch}: must lie between 1 and {MOST_BATCH}")
        self.engine = engine
        self.config: ModelConfig = engine.config
        self.device, self.precision = engine.device, engine.precision
        self.batch = self._fitting = batch  # `_fitting` is smaller once that many did not fit in memory
        self.provenance: dict[str, Any] = {}
        self.notice = lambda text: warnings.warn(text, RuntimeWarning, stacklevel=3)
        self.calibration: list[list[float]] | None = None
        self._flip_test = flip_test
        mirror = Skeleton("model", engine.config.joints).flip if flip_test else None
        if is_accelerator(self.device) and hasattr(engine, "heatmaps"):  # of the torch engine
            from ftpcli.pose.device_steps import DeviceSteps

            self._steps: Steps = DeviceSteps(engine, sigma, mirror)
        else:
            self._steps = Steps(engine, sigma, mirror)

    def look(self, image: np.ndarray) -> None:
        """Begin to bring an (H, W, 3) uint8 picture to where crops are cut: it is about to be needed. In any thread."""
        self._steps.look(image)

    @classmethod
    def load(
        cls,
        weights: str | Path = "default",
        *,
        engine: str = "torch",
        device: str = "auto",
        precision: str = "auto",
        batch: int | None = None,
        flip_test: bool = False,
        **changes: Any,
    ) -> Estimator:
        """From a weights file; ``changes`` override model options that keep its tensors (ratios, selector).

        Raises:
            InputError: the file is missing, damaged or not ours.
            UsageError: the engine, device or precision is not available.
        """
        path = weights_path(weights)
        computes = load_engine(path, engine=engine, device=device, precision=precision, **changes)
        sigma = float(computes.provenance.get("recipe", {}).get("sigma", 2.0))
        estimator = cls(computes, batch=batch, sigma=sigma, flip_test=flip_test)
        estimator.calibration = _checked(computes.provenance.get("calibration"), path)
        estimator.provenance = {
            **describe_weights(path),
            "config": {k: v for k, v in computes.config.to_dict().items() if k != "joints"},
            "flip_test": flip_test,
        }
        return estimator

    @property
    def joints(self) -> tuple[str, ...]:
        return self.config.joints

    @property
    def window(self) -> int:
        return self.config.frames

    def estimate(self, windows: Sequence[Window], tokens: SharedTokens | None = None) -> list[Pose]:
        """Poses of the windows' key frames, in their order; ``batch`` windows go through the model at a time.

        A frame that several of the windows show in the same view is encoded once. A batch that does not fit in memory
        is halved until it does, for this call and those after it; ``notice`` is called each time.

        Args:
            tokens: one store for the calls on a source carries tokens on from one call to the next, whose windows must
                be of the frames that follow.

        Raises:
            FtpError: not even one window fits.
        """
        poses: list[Pose] = []
        tokens = SharedTokens() if tokens is None else tokens
        shown = self._begin(windows, tokens)
        start = 0
        while start < len(windows):
            part = windows[start : start + self._fitting]
            crops = shown[start : start + self._fitting]
            try:
                poses += self._estimate(part, crops, tokens)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if len(part) == 1:
                    raise FtpError(
                        f"out of memory on {self.device} with a single person; close other programs, "
                        "or choose --device cpu or smaller weights"
                    ) from error
                self._fitting = (len(part) + 1) // 2
                self.notice(f"out of memory on {self.device} with {len(part)} people at a time; now {self._fitting}")
                continue
            tokens.done(crops)
            start += len(part)
        return poses

    def pass_over(self, windows: Sequence[Window], tokens: SharedTokens) -> None:
        """In place of :meth:`estimate` where the poses are known: the next call gives what it would have given."""
        shown = self._begin(windows, tokens)
        for start in range(0, len(shown), self._fitting):
            tokens.pass_over(shown[start : start + self._fitting])
            tokens.done(shown[start : start + self._fitting])

    def _begin(self, windows: Sequence[Window], tokens: SharedTokens) -> list[list[Crop]]:
        shown = [self._shown(window) for window in windows]
        tokens.begin(shown, max((window.key.index for window in windows), default=-1))
        return shown

    def _shown(self, window: Window) -> list[Crop]:
        """The crops of the frames that the model looks at."""
        view = window.view
        frames = window.frames if self.config.branches != "none" else (window.key,)
        return [Crop(frame, view) for frame in frames]

    def _estimate(self, windows: Sequence[Window], shown: list[list[Crop]], tokens: SharedTokens) -> list[Pose]:
        for crops in tokens.due(shown):
            tokens.add(crops, self.engine.threads.map(self._encode, crops))
        found = self.engine.threads.map(self._joints, [tokens.window(crops) for crops in shown])
        views = np.stack([window.view for window in windows])
        back = invert(box_affine(views, self.config.image_size, self.config.codec))
        points = transform(np.stack([points for points, _ in found]), back)
        people = [window.person for window in windows]
        return [
            Pose(person.track_id, person.box, person.score, mine, confidence, person.filled)
            for person, mine, (_, confidence) in zip(people, points, found, strict=True)
        ]

    def _encode(self, crops: Sequence[Crop]) -> list[tuple[Tokens, ...]]:
        """For each crop its tokens; with the flip test those of its mirror image as well."""
        size, codec = self.config.image_size, self.config.codec
        with stage(Stage.CROP):
            matrices = box_affine(np.stack([crop.view for crop in crops]), size, codec)
            sides = self._steps.crops([crop.frame.image for crop in crops], matrices)
        with stage(Stage.ENCODE_CROPS):
            return list(zip(*(self.engine.encode(side) for side in sides), strict=True))

    def _joints(self, windows: Sequence[Sequence[tuple[Tokens, ...]]]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Tokens of each window's T crops -> joints (K, 2) in pixels of the crop, confidences (K,)."""
        with stage(Stage.DECODE_TOKENS):
            own = [[own for own, *_ in crops] for crops in windows]
            mirrored = [[other for _, other in crops] for crops in windows] if self._flip_test else None
            heatmaps = self._steps.heatmaps(own, mirrored)
        with stage(Stage.HEATMAPS):
            points, confidence = self._steps.joints(heatmaps)
        if self.calibration is not None:
            read, true = self.calibration
            confidence = np.interp(confidence, read, true)
        return list(zip(points, confidence, strict=True))


def _checked(line: Any, path: Path) -> list[list[float]] | None:
    """The knots of a line, as a weights file has them. Raises InputError where they are none."""
    if line is None:
        return None
    try:
        x, y = np.array(line, np.float64)
        good = bool((np.diff(x) > 0).all() and (np.diff(y) >= 0).all())
        good &= bool(min(x[0], y[0]) >= 0 and max(x[-1], y[-1]) <= 1)
    except (ValueError, TypeError, IndexError):
        good = False
    if not good:
        raise InputError(f"{path}: the calibration in the weights' header is damaged; copy the file again")
    return [x.tolist(), y.tolist()]
