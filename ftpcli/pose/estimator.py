"""Runs the pose model on windows: crops in batches, heatmaps back to joints in picture pixels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ftpcli.device import Threads, choose_device, choose_precision, is_out_of_memory
from ftpcli.errors import FtpError, UsageError
from ftpcli.model.config import ModelConfig
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.model.fuse import fuse_batch_norms, pack_convolutions
from ftpcli.model.heatmap import decode_heatmaps
from ftpcli.pose.crops import box_affine, cut, invert, normalise, transform
from ftpcli.pose.tokens import Crop, SharedTokens
from ftpcli.pose.weights import build_model, describe_weights, weights_path
from ftpcli.records import Pose, Window
from ftpcli.skeleton import Skeleton

#: Crops or windows that a CPU thread takes at a time. Four cost it 6 % less each, but leave more cores with nothing.
_PART = 2


class Estimator:
    """A pose model ready to look at windows.

    Attributes:
        joints: names of the keypoints it returns.
        window: how many frames a window must have.
        batch: windows that go through the model at a time, as asked for. Results depend on it in their last bits.
        notice: called with one line when a batch did not fit in memory; a Python warning unless set.
    """

    notice: Callable[[str], None]

    def __init__(
        self,
        model: FTPPose,
        *,
        device: str = "auto",
        precision: str = "auto",
        batch: int = 16,
        sigma: float = 2.0,
        flip_test: bool = False,
    ) -> None:
        if batch < 1:
            raise UsageError(f"--batch {batch}: must be at least 1")
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        self._threads = Threads.of(self.device, _PART)
        self.batch = self._fitting = batch  # `_fitting` is smaller once that many did not fit in memory
        self.config: ModelConfig = model.config
        self.provenance: dict[str, Any] = {}
        self.notice = lambda text: warnings.warn(text, RuntimeWarning, stacklevel=3)
        self._sigma = sigma
        self._mirror: torch.Tensor | None = None
        if flip_test:
            self._mirror = torch.from_numpy(Skeleton("model", model.config.joints).flip).to(self.device)
        self._model = fuse_batch_norms(model).to(self.device)
        self._model.to(memory_format=torch.channels_last)
        trunk = self._model.backbone.trunk  # hundreds of small steps, which gain a quarter; other stems gain little
        if trunk is not None and self.device.type == "cpu" and self.precision == "fp32":
            window = torch.zeros(_PART, self.window, 3, *self.config.image_size)
            with torch.inference_mode():
                pack_convolutions(self._model, lambda: self._model(window))

    @classmethod
    def load(
        cls,
        weights: str | Path = "default",
        *,
        device: str = "auto",
        precision: str = "auto",
        batch: int = 16,
        flip_test: bool = False,
        **changes: Any,
    ) -> Estimator:
        """From a weights file; ``changes`` override model options that keep its tensors (ratios, selector).

        ``flip_test`` averages the heatmaps of each window and of its mirror image: better joints at twice the cost.

        Raises:
            InputError: the file is missing, damaged or not ours.
            UsageError: the device or precision is not available.
            FtpError: torch would hang in this process (``check_fork``).
        """
        choose_device(device)  # refused before the weights are read
        path = weights_path(weights)
        model, provenance = build_model(path, **changes)
        sigma = float(provenance.get("recipe", {}).get("sigma", 2.0))
        estimator = cls(model, device=device, precision=precision, batch=batch, sigma=sigma, flip_test=flip_test)
        estimator.provenance = {
            **describe_weights(path),
            "config": {k: v for k, v in model.config.to_dict().items() if k != "joints"},
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
            tokens: what :meth:`tokens` gave; it carries tokens on from one call to the next, whose windows must
                be of the frames that follow.

        Raises:
            FtpError: not even one window fits.
        """
        poses: list[Pose] = []
        tokens = self.tokens() if tokens is None else tokens
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

    def tokens(self) -> SharedTokens:
        """A store for the calls of :meth:`estimate` on one source."""
        return SharedTokens()

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
        frames = window.frames if self._model.encoder is not None else (window.key,)
        return [Crop(frame, view) for frame in frames]

    def _estimate(self, windows: Sequence[Window], shown: list[list[Crop]], tokens: SharedTokens) -> list[Pose]:
        for crops in tokens.due(shown):
            tokens.add(crops, self._threads.map(self._encode, crops))
        found = self._threads.map(self._joints, [tokens.window(crops) for crops in shown])
        poses = []
        for window, (points, confidence) in zip(windows, found, strict=True):
            person = window.person
            points = transform(points, invert(box_affine(window.view, self.config.image_size, self.config.codec)))
            poses.append(Pose(person.track_id, person.box, person.score, points, confidence, person.filled))
        return poses

    @torch.inference_mode()
    def _encode(self, crops: Sequence[Crop]) -> torch.Tensor:
        """(B, 1, N, C) tokens of B crops; (B, 2, N, C) with those of the mirror images."""
        size, codec = self.config.image_size, self.config.codec
        pixels = np.stack([cut(crop.frame.image, box_affine(crop.view, size, codec), size) for crop in crops])
        with self._autocast():
            images = normalise(torch.from_numpy(pixels), self.device)
            sides = [images] if self._mirror is None else [images, images.flip(-1)]
            encoded = [self._model.encode(side.contiguous(memory_format=torch.channels_last)) for side in sides]
            return torch.stack(encoded, dim=1)

    @torch.inference_mode()
    def _joints(self, windows: Sequence[Sequence[torch.Tensor]]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Each window's T tokens (1 or 2, N, C) -> joints (K, 2) in pixels of the crop, confidences (K,)."""
        with self._autocast():
            heatmaps = self._heatmaps(torch.stack([torch.stack(list(tokens)) for tokens in windows]))
        points, confidence = decode_heatmaps(
            heatmaps.cpu().numpy(), self.config.heatmap, self._sigma, self.config.codec
        )
        return list(zip(points, confidence, strict=True))

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def _heatmaps(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T, 1 or 2, N, C) -> (B, K, h, w) float32."""
        heatmaps = self._model.decode(tokens[:, :, 0]).float()
        if self._mirror is None:
            return heatmaps
        mirrored = self._model.decode(tokens[:, :, 1]).float().flip(-1)[:, self._mirror]
        if self.config.heatmap == "gaussian":
            return (heatmaps + mirrored) / 2
        # Distributions are averaged, not their logits: one side's certainty must survive the other's doubt.
        chances = heatmaps.flatten(2).softmax(2) + mirrored.flatten(2).softmax(2)
        return (chances / 2).clamp_min(1e-12).log().view_as(heatmaps)
