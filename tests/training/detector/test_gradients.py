"""Loss, ignore regions and optimiser of the detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ftpcli.people._ultralytics import MuSGD
from ftpcli.training.detector.gradients import Float32MuSGD, MaskedLoss, collate, make_optimiser
from ftpcli.training.detector.recipe import DetectorRecipe
from ftpcli.training.detector.samples import make_sample
from tests.support.detector_data import coco_file, mixture_of


def test_ignored_anchors_teach_nothing() -> None:
    loss = MaskedLoss()
    scores, target = torch.zeros(1, 3, 1), torch.tensor([[[0.0], [0.0], [0.8]]])
    loss.ignore = torch.tensor([[[True], [False], [True]]])
    value = loss(scores, target)
    assert value[0, 0, 0] == 0 and value[0, 1, 0] > 0 and value[0, 2, 0] > 0  # a person there is learned all the same


def test_anchors_of_ignore_regions(tmp_path: Path) -> None:
    sample = make_sample(mixture_of(coco_file(tmp_path)), 64, np.random.default_rng(0), 0.0)
    marked = type(sample)(sample.image, sample.people, np.array([[0, 0, 32, 64]], np.float32))
    batch = collate([sample, marked])
    assert batch["ignore"].shape == (2, 64 + 16 + 4, 1)
    grid = batch["ignore"][1, :64, 0].reshape(8, 8)
    assert grid[:, :4].all() and not grid[:, 4:].any()  # rows are y, columns x


def test_musgd_in_float32_is_ultralytics_but_for_the_rounding() -> None:
    moved = []
    for kind in (MuSGD, Float32MuSGD):
        torch.manual_seed(5)
        network = torch.nn.Sequential(torch.nn.Conv2d(4, 8, 3), torch.nn.Conv2d(8, 6, 1), torch.nn.Linear(6, 24))
        before = [p.detach().clone() for p in network.parameters()]
        groups = [
            {"params": [p for p in network.parameters() if (p.ndim > 1) == muon], "use_muon": muon, "momentum": 0.9}
            for muon in (True, False)
        ]
        optimizer = kind(groups, lr=0.02, nesterov=True, weight_decay=0.1, muon=1.0, sgd=1.0)
        for _ in range(3):
            for p in network.parameters():
                p.grad = torch.randn_like(p) / 10
            optimizer.step()
        moved.append([p.detach() - was for p, was in zip(network.parameters(), before, strict=True)])
    for theirs, ours in zip(*moved, strict=True):
        assert (theirs - ours).norm() < 0.03 * theirs.norm()
    assert not torch.equal(moved[0][0], moved[1][0])


@pytest.mark.parametrize("emulated", [False, True])
def test_musgd_is_taken_in_float32_where_bf16_would_be_emulated(
    monkeypatch: pytest.MonkeyPatch, emulated: bool
) -> None:
    monkeypatch.setattr("ftpcli.training.muon.choose_precision", lambda *_: "fp32" if emulated else "bf16")
    optimiser = make_optimiser(torch.nn.Linear(2, 2), DetectorRecipe(optimiser="musgd"))
    assert isinstance(optimiser, Float32MuSGD) == emulated
