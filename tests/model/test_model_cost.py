"""The table of what a pose costs, samples/model_cost.py."""

from __future__ import annotations

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ftpcli.model.ftp_pose import FTPPose
from samples.model_cost import STAGES, spent
from tests.support.tiny import CONFIG


def test_every_operation_of_a_pose_belongs_to_a_stage() -> None:
    model = FTPPose(CONFIG).eval()
    crop = torch.rand(1, 3, *CONFIG.image_size)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        stages = spent(model, crop, counter.get_total_flops)
    assert sum(stages.values()) == counter.get_total_flops() > 0
    assert set(stages) <= set(STAGES.values()) and min(stages[STAGES[name]] for name in ("encoder", "head")) > 0
