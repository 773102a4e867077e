"""Heatmaps decoded on a device, beside the reference in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ftpcli.model.device_heatmap import decode_on_device
from ftpcli.model.heatmap import decode_heatmaps, gaussian_targets


def maps(kind: str, codec: str) -> torch.Tensor:
    """(12, 19, 60, 40): peaks everywhere, at the border too, some of two joints, some of none, all with noise."""
    pixels = torch.Generator().manual_seed(0)
    joints = torch.rand(2, 12, 19, 2, generator=pixels) * torch.tensor([175.0, 255.0]) - 8
    first, second = (gaussian_targets(one, (60, 40), codec=codec) for one in joints)
    values = (first + second * torch.rand(12, 19, 1, 1, generator=pixels)) * torch.rand(12, 19, 1, 1, generator=pixels)
    values += 0.02 * torch.rand(values.shape, generator=pixels)
    return values if kind == "gaussian" else 3 * values.log()


@pytest.mark.parametrize("codec", ["centred", "udp"])
@pytest.mark.parametrize("kind", ["gaussian", "softmax"])
def test_joints_are_those_of_the_reference(kind: str, codec: str) -> None:
    given = maps(kind, codec)
    points, confidence = decode_heatmaps(given.numpy(), kind, 2.0, codec)
    found, sure = decode_on_device(given, kind, 2.0, codec)
    assert found.dtype == points.dtype and found.shape == points.shape == (12, 19, 2)
    off = np.abs(found - points).max(axis=2)
    assert np.median(off) < 1e-4 and off.max() < 0.02  # pixels
    assert np.abs(sure - confidence).max() < 1e-5
    assert np.ptp(confidence) > 0.5  # joints of every kind


@pytest.mark.parametrize("kind", ["gaussian", "softmax"])
def test_maps_without_a_peak(kind: str) -> None:
    given = torch.zeros(1, 4, 8, 6)
    given[0, 1] = torch.nan
    given[0, 2, 3, 2] = torch.inf
    given[0, 3] = -torch.inf
    points, confidence = decode_heatmaps(given.numpy(), kind)
    found, sure = decode_on_device(given, kind)
    np.testing.assert_allclose(found, points, atol=1e-4)
    np.testing.assert_allclose(sure, confidence, atol=1e-5)
    assert sure[0, 1] == 0
