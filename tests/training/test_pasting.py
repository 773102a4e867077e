"""People pasted over the person of a training window."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ftpcli.datasets.cutouts import Cutout, fill
from ftpcli.errors import InputError
from ftpcli.skeleton import PERSON19
from ftpcli.training.augment import Example, make_window
from ftpcli.training.batches import Examples, collate
from ftpcli.training.loop import batches
from ftpcli.training.mixture import Mixture
from ftpcli.training.pasting import body_in_crop, paste_people
from ftpcli.training.recipe import Augmentation
from ftpcli.training.sources.coco import CocoKeypoints
from tests.support.training_data import make_clips, make_coco

SIZE = (192, 144)
BODY = np.array([42.0, 20, 102, 172])
JOINTS = np.stack([np.linspace(50, 94, 12), np.linspace(30, 160, 12)], axis=1)
RED = Cutout(np.full((120, 50, 3), (255, 0, 0), np.uint8), np.ones((120, 50), np.float32))
WIDE = Cutout(np.full((120, 600, 3), (255, 0, 0), np.uint8), np.ones((120, 600), np.float32))


def blue(frames: int) -> np.ndarray:
    return np.full((frames, *SIZE, 3), (0, 0, 255), np.uint8)


def red(crop: np.ndarray) -> np.ndarray:
    """(h, w) bool: where the pasted person is, whatever light fell on them."""
    return crop[..., 0] > crop[..., 2]


def lean(points: np.ndarray) -> float:
    """Degrees from the vertical of the longer axis of (n, 2) points (y, x)."""
    values, vectors = np.linalg.eigh(np.cov(points.T))
    y, x = vectors[:, values.argmax()]
    return float(np.degrees(np.arctan2(x * np.sign(y), abs(y))))


def outlined(folder: Path) -> Path:
    """The generated people, every one with a diamond as outline."""
    path = make_coco(folder)
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        x, y, w, h = annotation["bbox"]
        annotation["segmentation"] = [[x + w / 2, y, x + w, y + h / 2, x + w / 2, y + h, x, y + h / 2]]
    path.write_text(json.dumps(content))
    return path


def test_somebody_stands_over_the_person_but_never_over_nearly_all_of_them() -> None:
    covered = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        (crop,) = paste_people(blue(1), BODY, JOINTS, [lambda: RED], [], 0.0, rng)
        at = JOINTS.round().astype(int)
        covered.append(red(crop)[at[:, 1], at[:, 0]].mean())
    assert max(covered) <= 0.98  # two may be pasted, each of them over at most three quarters
    assert np.mean(covered) > 0.1 and np.mean(np.array(covered) == 0) < 0.7
    assert sum(0.3 < share <= 0.75 for share in covered) >= 10


def test_somebody_who_would_hide_nearly_all_is_not_pasted() -> None:
    covered = []
    for seed in range(60):
        (crop,) = paste_people(blue(1), BODY, JOINTS, [lambda: WIDE], [], 0.0, np.random.default_rng(seed))
        at = JOINTS.round().astype(int)
        covered.append(red(crop)[at[:, 1], at[:, 0]].mean())
    assert max(covered) <= 0.98 and sum(share > 0.75 for share in covered) <= 3  # by two people together
    assert sum(share > 0.3 for share in covered) >= 5


def test_the_pasted_person_stays_or_drifts_evenly_through_a_window() -> None:
    drifts = []
    for seed in range(30):
        crops = paste_people(blue(3), BODY, JOINTS, [lambda: RED], [], 0.0, np.random.default_rng(seed))
        masks = [red(crop) for crop in crops]
        if not all(mask[2:-2, 2:-2].any() for mask in masks) or any(mask[:, [0, -1]].any() for mask in masks):
            continue  # cut off by the edge: its middle is not the person's
        middles = [np.argwhere(mask).mean(axis=0) for mask in masks]
        assert np.abs(middles[0] - 2 * middles[1] + middles[2]).max() < 2.5
        drifts.append(np.abs(middles[2] - middles[0]).max())
    assert drifts and max(drifts) < 16
    assert any(d == 0 for d in drifts) and any(d > 0.5 for d in drifts)


def test_where_the_persons_outline_is_known_somebody_may_stand_behind() -> None:
    outline = [np.array([[60.0, 30], [84, 30], [84, 160], [60, 160]])]
    inside = fill(outline, *SIZE).astype(bool)
    untouched = 0
    for seed in range(40):
        (crop,) = paste_people(blue(1), BODY, JOINTS, [lambda: RED], [outline], 0.0, np.random.default_rng(seed))
        untouched += bool(red(crop).any() and not red(crop)[inside].any())
    assert 8 < untouched < 36
    around = 0
    for seed in range(40):
        (crop,) = paste_people(blue(1), BODY, JOINTS, [lambda: WIDE], [outline], 0.0, np.random.default_rng(seed))
        around += bool(red(crop)[~inside].mean() > 0.3 and not red(crop)[inside].any())
    assert around >= 8


def test_somebody_behind_stays_behind_in_every_frame_of_a_moving_window() -> None:
    image = np.full((600, 600, 3), (0, 0, 255), np.uint8)
    image[240:361, 280:321] = (0, 255, 0)
    outline = [np.array([[280.0, 240], [320, 240], [320, 360], [280, 360]])]
    example = Example([image], np.array([270.0, 230, 330, 370]), np.full((19, 2), 300.0), np.ones(19), outline)
    how = dataclasses.replace(Augmentation.none(), flip=0.5, rotate=1.0, rotation=20, motion=0.1)
    behind = 0
    for seed in range(40):
        plain, _, _ = make_window(example, SIZE, 3, how, np.random.default_rng(seed))
        pasted, _, _ = make_window(
            example, SIZE, 3, dataclasses.replace(how, people=1.0), np.random.default_rng(seed), others=[lambda: WIDE]
        )
        reds = np.stack([red(crop) for crop in pasted])
        own = np.stack([cv2.erode((c[..., 1] > c[..., 2]).astype(np.uint8), np.ones((5, 5))) for c in plain]) > 0
        behind += bool(all(mask.mean() > 0.2 for mask in reds) and not (reds & own).any())
    assert behind >= 6


def test_people_beside_turn_with_a_mirrored_crop() -> None:
    image = np.full((900, 900, 3), (0, 0, 255), np.uint8)
    joints, weight = np.zeros((19, 2)), np.zeros(19)
    joints[0], joints[17], weight[[0, 17]] = (450, 380), (450, 520), 1.0
    example = Example([image], np.array([420.0, 370, 480, 530]), joints, weight)
    how = dataclasses.replace(Augmentation.none(), flip=1.0, rotate=1.0, rotation=25, people=1.0)
    slim = Cutout(RED.image[:, :14], RED.alpha[:, :14])
    off = []
    for seed in range(60):
        (crop,), at, _ = make_window(example, SIZE, 1, how, np.random.default_rng(seed), others=[lambda: slim])
        x, y = at[17] - at[0]
        points = np.argwhere(red(crop)).astype(float)
        if len(points) > 400 and abs(x) > 0.2 * y:
            off.append(abs(lean(points) - np.degrees(np.arctan2(x, y))))
    assert len(off) > 20 and np.median(off) < 3


def test_a_turned_crop_turns_the_people_beside_alike() -> None:
    rng = np.random.default_rng(3)
    leaning = []
    for _ in range(40):
        (crop,) = paste_people(blue(1), BODY, JOINTS, [lambda: RED], [], 30.0, rng)
        points = np.argwhere(red(crop)[4:-4, 4:-4]).astype(float)
        if len(points) > 400:
            leaning.append(lean(points))
    # a body's down axis (0, 1) turned by 30 degrees clockwise points to (-sin 30, cos 30)
    assert len(leaning) > 20 and abs(np.median(leaning) + 30) < 6


def test_a_lender_with_nobody_to_lend_changes_nothing() -> None:
    assert np.array_equal(
        paste_people(blue(1), BODY, JOINTS, [lambda: None], [], 0.0, np.random.default_rng(0)), blue(1)
    )


def test_labels_stay_those_of_the_person_pasted_over(tmp_path: Path) -> None:
    people = CocoKeypoints(outlined(tmp_path), PERSON19)
    how = dataclasses.replace(Augmentation.none(), people=1.0)
    changed = 0
    for seed in range(24):
        example = people.example(seed % 12, 3)
        before = example.images[0].copy()
        plain = make_window(example, SIZE, 3, Augmentation.none(), np.random.default_rng(seed))
        rows = [
            make_window(example, SIZE, 3, how, np.random.default_rng(seed), others=people.lenders) for _ in range(2)
        ]
        assert np.array_equal(rows[0][0], rows[1][0])
        assert np.array_equal(rows[0][1], plain[1]) and np.array_equal(rows[0][2], plain[2])
        assert np.array_equal(example.images[0], before)
        changed += not np.array_equal(rows[0][0], plain[0])
    assert changed > 18


def test_the_body_in_the_crop_is_the_box_scaled() -> None:
    matrix = np.array([[0.5, 0.0, 10.0], [0.0, 0.5, 20.0]])
    assert np.allclose(body_in_crop(np.array([20.0, 40, 60, 160]), matrix), [20, 40, 40, 100])


def test_outlines_lend_people_and_malformed_ones_are_one_line(tmp_path: Path) -> None:
    path = outlined(tmp_path)
    people = CocoKeypoints(path, PERSON19)
    cutout = people.lenders[0]()
    assert len(people.lenders) == 12 and cutout is not None and 0.4 < cutout.alpha.mean() < 0.6
    content = json.loads(path.read_text())
    content["annotations"][0]["segmentation"] = {"counts": "abc", "size": [10, 10]}  # run-length: not used
    content["annotations"][1]["segmentation"] = []
    path.write_text(json.dumps(content))
    assert len(CocoKeypoints(path, PERSON19).lenders) == 10
    content["annotations"][0]["segmentation"] = [["a", "b", "c", "d", "e", "f"]]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="'segmentation' holds 'a' where a number belongs"):
        CocoKeypoints(path, PERSON19)


def test_people_of_one_source_are_pasted_into_the_windows_of_all(tmp_path: Path) -> None:
    from ftpcli.training.sources.clips import Clips

    clips = Clips(make_clips(tmp_path / "clips"), PERSON19)
    with_people = CocoKeypoints(outlined(tmp_path / "people"), PERSON19)
    without = CocoKeypoints(make_coco(tmp_path / "plain"), PERSON19)
    how = dataclasses.replace(Augmentation.none(), people=1.0)
    windows = []
    for people in (with_people, without):
        mixture = Mixture([(clips, 1.0), (people, 1.0)], 0)
        (batch,) = batches(Examples(mixture, SIZE, 3, how, 0), collate, batch=len(mixture), first=0, steps=1)
        windows.append((batch, [source for source, _ in mixture.order(0)]))
    (a, sources), (b, _) = windows
    differ = (a.crops != b.crops).flatten(1).any(1).numpy()
    assert differ[np.array(sources) == 0].sum() >= len(clips) - 2
    assert np.array_equal(a.joints, b.joints)


def test_an_example_without_an_outline_needs_none() -> None:
    image = np.zeros((200, 160, 3), np.uint8)
    joints, weight = np.full((19, 2), 80.0), np.ones(19)
    example = Example([image], np.array([30.0, 30, 130, 170]), joints, weight)
    how = dataclasses.replace(Augmentation.none(), people=1.0)
    crops, _, _ = make_window(example, SIZE, 1, how, np.random.default_rng(1), others=[lambda: RED])
    assert red(crops[0]).any()
