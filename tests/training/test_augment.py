"""Augmentation of windows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ftpcli.evaluation.pictures import motion_kernel
from ftpcli.skeleton import PERSON19
from ftpcli.training.augment import Example, make_window
from ftpcli.training.recipe import AUGMENTATIONS, RECIPES, Augmentation, augmentation
from ftpcli.training.sources import CocoKeypoints

SIZE = (128, 96)


def marked(joint: int, at: tuple[int, int]) -> Example:
    """A picture with a white dot where one joint is."""
    image = np.zeros((200, 160, 3), np.uint8)
    image[at[1] - 2 : at[1] + 3, at[0] - 2 : at[0] + 3] = 255
    joints, weight = np.zeros((19, 2)), np.zeros(19)
    joints[joint], weight[joint] = at, 1
    return Example([image], np.array([30.0, 30, 130, 170]), joints, weight)


def test_labels_follow_the_picture_through_every_geometry() -> None:
    left = PERSON19.joints.index("left_wrist")
    right = PERSON19.joints.index("right_wrist")
    how = dataclasses.replace(Augmentation.none(), flip=0.5, scale=0.3, rotate=0.8, rotation=40, shift=0.05)
    flips = 0
    for seed in range(40):
        example = marked(left, (70, 90))
        crops, joints, weight = make_window(example, SIZE, 1, how, np.random.default_rng(seed))
        joint = left if weight[left] else right
        flips += joint == right
        assert weight.sum() == 1
        bright = crops[0, ..., 0].astype(float)
        rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
        centre = np.array([(bright * columns).sum(), (bright * rows).sum()]) / bright.sum()
        assert np.abs(centre - joints[joint]).max() < 0.6
        assert example.weight[left] == 1 and not example.weight[right]  # the source's own record is untouched
    assert 8 < flips < 32


def test_a_still_becomes_a_moving_window_whose_key_frame_is_labelled() -> None:
    example = marked(0, (80, 100))
    how = dataclasses.replace(Augmentation.none(), motion=0.1)
    crops, joints, _ = make_window(example, SIZE, 3, how, np.random.default_rng(4))
    assert not np.array_equal(crops[0], crops[1]) and not np.array_equal(crops[1], crops[2])
    y, x = np.argwhere(crops[1][..., 0] > 128).mean(axis=0)
    assert abs(x - joints[0, 0]) < 0.6 and abs(y - joints[0, 1]) < 0.6
    plain, _, _ = make_window(example, SIZE, 3, Augmentation.none(), np.random.default_rng(4))
    assert np.array_equal(plain[0], plain[2])


def test_joints_outside_the_crop_are_marked() -> None:
    example = marked(5, (80, 100))
    example.joints[6], example.weight[6] = (-200.0, 50.0), 1.0
    _, _, weight = make_window(example, SIZE, 1, Augmentation.none(), np.random.default_rng(0))
    assert weight[5] == 1 and weight[6] == -1


def test_strong_augmentation_keeps_shape_and_is_a_function_of_the_seed(people: CocoKeypoints) -> None:
    for seed in range(30):
        a = make_window(people.example(seed % 12, 3), SIZE, 3, AUGMENTATIONS["moderate"], np.random.default_rng(seed))
        b = make_window(people.example(seed % 12, 3), SIZE, 3, AUGMENTATIONS["moderate"], np.random.default_rng(seed))
        assert a[0].shape == (3, *SIZE, 3) and a[0].dtype == np.uint8
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_damage_to_the_key_frame_leaves_its_neighbours_alone(people: CocoKeypoints) -> None:
    how = dataclasses.replace(Augmentation.none(), key_damage=1.0)
    for seed in range(20):
        example = people.example(seed % 12, 3)
        sound, _, _ = make_window(example, SIZE, 3, Augmentation.none(), np.random.default_rng(seed))
        hurt, _, _ = make_window(example, SIZE, 3, how, np.random.default_rng(seed))
        assert np.array_equal(hurt[[0, 2]], sound[[0, 2]]) and not np.array_equal(hurt[1], sound[1])


def test_motion_kernel_sums_to_one() -> None:
    for angle in (0, 30, 90, 179):
        kernel = motion_kernel(angle, 9)
        assert kernel.sum() == pytest.approx(1) and np.count_nonzero(kernel) >= 7


def test_blurred_frames_of_a_window_are_each_blurred_in_their_own_way(people: CocoKeypoints) -> None:
    how = dataclasses.replace(Augmentation.none(), blur=1.0)
    example, two = people.example(0, 3), 0
    for seed in range(20):
        plain, _, _ = make_window(example, (192, 144), 3, Augmentation.none(), np.random.default_rng(seed))
        crops, _, _ = make_window(example, (192, 144), 3, how, np.random.default_rng(seed))
        blurred = [crop for crop, sharp in zip(crops, plain, strict=True) if not np.array_equal(crop, sharp)]
        assert blurred
        two += len(blurred) >= 2 and not np.array_equal(blurred[0], blurred[1])
    assert two >= 8  # 13 of 20 are expected to have two blurred frames or more


def test_turned_people_stand_at_any_angle(people: CocoKeypoints) -> None:
    how = dataclasses.replace(Augmentation.none(), turn=1.0)
    example, angles = people.example(0, 1), []
    top, ankle = PERSON19.joints.index("head_top"), PERSON19.joints.index("left_ankle")
    for seed in range(40):
        _, joints, _ = make_window(example, (192, 144), 1, how, np.random.default_rng(seed))
        x, y = joints[top] - joints[ankle]
        angles.append(np.arctan2(y, x))
    assert np.histogram(angles, 4, (-np.pi, np.pi))[0].min() >= 4  # every quarter of the circle


def test_named_augmentations_keep_the_recipe_s_own_damage() -> None:
    chosen, moderate = augmentation("strong", RECIPES["temporal"].augmentation), AUGMENTATIONS["moderate"]
    assert chosen.key_damage == 0.5 and chosen.rotation > moderate.rotation and chosen.occlude > moderate.occlude
    assert augmentation("none", Augmentation.none()) == Augmentation.none()
    assert augmentation("moderate", moderate) == moderate


def test_a_cut_picture_ends_within_the_person_and_the_box_with_it(people: CocoKeypoints) -> None:
    """What is beyond the edge is black and not taught; what is left lies where it did."""
    how = dataclasses.replace(Augmentation.none(), cut=1.0)
    cut_joints = 0
    for seed in range(40):
        example = people.example(seed % 12, 1)
        crops, joints, weight = make_window(example, SIZE, 1, how, np.random.default_rng(seed))
        _, _, before = make_window(example, SIZE, 1, Augmentation.none(), np.random.default_rng(seed))
        taught = weight > 0
        assert taught.any() and (before[taught] > 0).all()
        assert np.array_equal(np.abs(weight), before)  # joints beyond the edge are known to be there
        lines = np.rint(joints[taught]).astype(int)
        assert crops[0][lines[:, 1], lines[:, 0]].any(axis=1).all()  # a picture is nowhere black
        cut_joints += int((before > 0).sum() - taught.sum())
        assert example.images[0].shape == (200, 160, 3)  # the source's own stays as it is
    assert cut_joints > 60
