"""Optimisers, the schedule, averaged weights."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from ftpcli.model.ftp_pose import FTPPose
from ftpcli.training.averages import Average
from ftpcli.training.loop import rate
from ftpcli.training.muon import Float32Muon
from ftpcli.training.optimiser import build_optimisers
from ftpcli.training.recipe import RECIPES
from tests.support.training_runs import CONFIG


def test_layer_wise_rates_and_frozen_backbone() -> None:
    model = FTPPose(CONFIG.replace(depth=12))
    groups = build_optimisers(model, RECIPES["paper"])[0].param_groups
    scales = sorted({group["scale"] for group in groups})
    assert scales[-1] == 1.0 and scales[0] == pytest.approx(0.1 * 0.75**12) and len(scales) == 14
    assert sum(p.numel() for g in groups for p in g["params"]) == sum(p.numel() for p in model.parameters())
    frozen = dataclasses.replace(RECIPES["paper"], backbone_lr=0.0)
    build_optimisers(model, frozen)
    assert not any(p.requires_grad for p in model.backbone.parameters())
    assert all(p.requires_grad for p in model.head.parameters())


def test_of_a_frozen_head_the_parts_for_the_high_resolution_branch_learn() -> None:
    model = FTPPose(CONFIG)
    build_optimisers(model, dataclasses.replace(RECIPES["paper"], head_lr=0.0))
    learns = {name.split(".")[0] for name, parameter in model.head.named_parameters() if parameter.requires_grad}
    assert learns == {"cross", "mlp", "scatter"}
    assert all(p.requires_grad for part in (model.encoder, model.backbone) for p in part.parameters())


def test_muon_takes_the_blocks_matrices_only() -> None:
    model = FTPPose(CONFIG)
    muon, adamw = build_optimisers(model, dataclasses.replace(RECIPES["scratch"], optimiser="muon"))
    assert all(p.ndim == 2 for group in muon.param_groups for p in group["params"])
    counted = sum(len(g["params"]) for o in (muon, adamw) for g in o.param_groups)
    assert counted == len(list(model.parameters()))


def test_muon_in_float32_is_torchs_but_for_the_rounding() -> None:
    torch.manual_seed(3)
    start = [torch.randn(24, 40), torch.randn(48, 16)]
    moved = []
    for kind in (torch.optim.Muon, Float32Muon):
        matrices = [torch.nn.Parameter(matrix.clone()) for matrix in start]
        optimiser = kind(matrices, lr=0.05, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
        generator = torch.Generator().manual_seed(4)
        for _ in range(4):
            for matrix in matrices:
                matrix.grad = torch.randn(matrix.shape, generator=generator)
            optimiser.step()
        moved.append([matrix.detach() - was for matrix, was in zip(matrices, start, strict=True)])
        assert all(set(optimiser.state[matrix]) == {"momentum_buffer"} for matrix in matrices)
    for torchs, ours in zip(*moved, strict=True):
        assert (torchs - ours).norm() < 0.03 * torchs.norm()


@pytest.mark.parametrize("emulated", [False, True])
def test_muon_is_taken_in_float32_where_bf16_would_be_emulated(monkeypatch: pytest.MonkeyPatch, emulated: bool) -> None:
    monkeypatch.setattr("ftpcli.training.muon.choose_precision", lambda *_: "fp32" if emulated else "bf16")
    model = FTPPose(CONFIG.replace(depth=1))
    assert isinstance(build_optimisers(model, RECIPES["scratch"])[0], Float32Muon) == emulated


def test_schedules() -> None:
    paper = dataclasses.replace(RECIPES["paper"], warmup=10)
    assert rate(0, 100, paper) == pytest.approx(0.1) and rate(79, 100, paper) == 1
    assert rate(80, 100, paper) == pytest.approx(0.1)
    few = RECIPES["finetune"]
    steps = int(few.epochs * 10 / few.batch)
    assert sum(rate(step, steps, few) > 0.5 for step in range(steps)) > 8, "ten corrected frames are learnt from"
    share = dataclasses.replace(paper, warmup=0.1)
    assert [rate(0, steps, share) for steps in (100, 1000, 5)] == pytest.approx([0.1, 0.01, 1])
    cosine = dataclasses.replace(RECIPES["scratch"], warmup=0, final=0.2)
    assert rate(0, 100, cosine) == 1 and rate(100, 100, cosine) == pytest.approx(0.2)


def test_average_follows() -> None:
    model = torch.nn.Linear(2, 2)
    average = Average(model, 0.9)
    before = average.state["weight"].clone()
    with torch.no_grad():
        model.weight += 1
    average.update(model, 10**6)
    torch.testing.assert_close(average.state["weight"], before + 0.1)
