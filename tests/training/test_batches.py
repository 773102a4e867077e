"""Which examples make which batch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from ftpcli.pose.crops import MEAN, STD
from ftpcli.training.augment import Example
from ftpcli.training.batches import Batch, Examples, collate
from ftpcli.training.loop import batches
from ftpcli.training.mixture import Mixture
from ftpcli.training.recipe import AUGMENTATIONS, Augmentation
from ftpcli.training.sources import CocoKeypoints


def test_weights_say_how_often_a_source_is_passed(people: CocoKeypoints) -> None:
    mixture = Mixture([(people, 1.0), (people, 0.5), (people, 2.0)], seed=1)
    assert len(mixture) == 12 + 6 + 24
    order = mixture.order(0)
    assert sorted(i for s, i in order if s == 0) == list(range(12))
    assert sorted(i for s, i in order if s == 2) == sorted([*range(12), *range(12)])
    halves = [i for s, i in order if s == 1] + [i for s, i in mixture.order(1) if s == 1]
    assert sorted(halves) == list(range(12))  # the second epoch goes on where the first ended
    assert mixture.order(0) == order and mixture.order(1) != order


def test_batches_do_not_depend_on_workers_or_on_where_one_starts(
    people: CocoKeypoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(first: int = 0, steps: int = 4, workers: int = 0, rank: int = 0, world: int = 1) -> list[Batch]:
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(world))
        examples = Examples(Mixture([(people, 1.0)], seed=3), (64, 48), 1, AUGMENTATIONS["moderate"], seed=3)
        return list(batches(examples, collate, batch=4, first=first, steps=steps, workers=workers))

    whole = made()
    assert len(whole) == 4
    torch.testing.assert_close(made(first=2)[0].crops, whole[2].crops, rtol=0, atol=0)
    torch.testing.assert_close(made(workers=1, steps=2)[1].crops, whole[1].crops, rtol=0, atol=0)
    halves = [made(rank=rank, world=2)[1].crops for rank in (0, 1)]
    torch.testing.assert_close(torch.cat(halves), whole[1].crops, rtol=0, atol=0)


def test_windows_are_normalised_by_imagenet_s_mean_and_deviation() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 6, 3), dtype=np.uint8)
    batch = Batch(torch.from_numpy(crops), torch.zeros(2, 19, 2), torch.zeros(2, 19))
    wanted = np.moveaxis((crops.astype(np.float32) / 255 - MEAN) / STD, -1, -3)
    torch.testing.assert_close(batch.windows(torch.device("cpu")), torch.from_numpy(wanted), rtol=0, atol=0)


def test_mirrored_joints_are_those_of_the_model_s_own_joint_set() -> None:
    """In another order than the default weights': each joint goes to its partner's row, wherever that stands."""
    joints = ("right_wrist", "nose", "left_wrist")
    place = {"right_wrist": (20.0, 50.0), "nose": (40.0, 30.0), "left_wrist": (60.0, 50.0)}

    class One:
        name, groups, lenders = "one", ["one"], ()

        def __len__(self) -> int:
            return 1

        def example(self, index: int, frames: int) -> Example:
            image = np.zeros((80, 80, 3), np.uint8)
            where = np.array([place[joint] for joint in joints])
            return Example([image], np.array([10.0, 10.0, 70.0, 70.0]), where, np.ones(3))

    how = dataclasses.replace(Augmentation.none(), flip=1.0)
    examples = Examples(Mixture([(One(), 1.0)], seed=0), (64, 64), 1, how, 0, joints)
    _, points, weight = examples[0]
    assert weight.all() and points[0, 0] < points[1, 0] < points[2, 0]  # mirrored and renamed: the right is left again
