"""A pose model of ultralytics with its own tracker, as its own program runs it: what ``ftp bench`` compares with."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ftpcli.errors import UsageError


class YoloPose:
    """With random weights, which take the same time and need no network. They find nobody: nothing is suppressed,
    followed or drawn, which is to its advantage.

    Args:
        name: an architecture of ultralytics, such as ``yolo26n-pose``.
        size: longer side of its input, pixels.

    Raises:
        UsageError: ultralytics has no such pose model.
    """

    def __init__(self, name: str, size: int = 640) -> None:
        from ftpcli.people._ultralytics import YOLO

        self._size = size
        try:
            self._model = YOLO(f"{name}.yaml", verbose=False)
        except (FileNotFoundError, ModuleNotFoundError, KeyError) as error:
            raise UsageError(f"--against {name}: no pose model of ultralytics (try yolo26n-pose)") from error
        if self._model.task != "pose":
            raise UsageError(f"--against {name}: is a model for '{self._model.task}' (try yolo26n-pose)")

    def follow(self, images: Iterable[np.ndarray]) -> int:
        """Run it over a clip's (H, W, 3) uint8 RGB pictures; how many there were."""
        frames = 0
        for image in images:
            bgr = np.ascontiguousarray(image[..., ::-1])
            self._model.track(
                bgr, persist=frames > 0, tracker="bytetrack.yaml", imgsz=self._size, device="cpu", verbose=False
            )
            frames += 1
        return frames
