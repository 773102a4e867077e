"""Heatmap losses."""

from __future__ import annotations

import pytest
import torch

from ftpcli.training.losses import heatmap_loss
from tests.support.training_runs import CONFIG


@pytest.mark.parametrize("heatmap", ["gaussian", "softmax"])
def test_unlabelled_joints_teach_nothing(heatmap: str) -> None:
    config = CONFIG.replace(heatmap=heatmap)
    maps = torch.randn(2, 19, 16, 12, requires_grad=True)
    joints = torch.rand(2, 19, 2) * 40
    weight = torch.ones(2, 19)
    weight[0, 3] = 0
    heatmap_loss(maps, joints, weight, config, 2.0, 20.0).backward()
    assert maps.grad is not None
    assert not maps.grad[0, 3].any()
    assert maps.grad[0, 4].any() and maps.grad[1, 3].any()


def test_squared_error_is_equation_4() -> None:
    from ftpcli.model.heatmap import gaussian_targets

    joints = torch.rand(3, 19, 2) * 40
    maps = torch.randn(3, 19, 16, 12)
    target = gaussian_targets(joints, (16, 12))
    loss = heatmap_loss(maps, joints, torch.ones(3, 19), CONFIG.replace(heatmap="gaussian"), 2.0, 0.0)
    torch.testing.assert_close(loss, (maps - target).square().mean())


def test_no_labelled_joint_is_no_loss_and_no_nan() -> None:
    loss = heatmap_loss(torch.randn(1, 19, 16, 12), torch.zeros(1, 19, 2), torch.zeros(1, 19), CONFIG, 2.0, 0.0)
    assert loss.item() == 0


@pytest.mark.parametrize("heatmap", ["gaussian", "softmax"])
def test_a_joint_outside_the_crop_is_to_have_a_flat_map(heatmap: str) -> None:
    """As little as the recipe says, and nothing where it says nothing."""
    config, weight = CONFIG.replace(heatmap=heatmap), torch.ones(1, 19)
    weight[0, 3] = -1
    flat, peaked = torch.zeros(1, 19, 16, 12), torch.zeros(1, 19, 16, 12)
    peaked[0, 3, 8, 6] = 5
    joints = torch.full((1, 19, 2), 20.0)

    def loss(maps: torch.Tensor, absent: float) -> float:
        return heatmap_loss(maps, joints, weight, config, 2.0, 0.0, absent=absent).item()

    assert loss(peaked, 0.0) == loss(flat, 0.0)
    least, little, more = loss(flat, 0.2), loss(peaked, 0.2), loss(peaked, 0.4)
    assert least < little and more - loss(flat, 0.4) == pytest.approx(2 * (little - least), rel=1e-5)
