"""People pasted over people of the detector's pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ftpcli.datasets.scenes import load_pictures
from ftpcli.errors import InputError
from ftpcli.training.detector.pasting import _covered, paste
from ftpcli.training.detector.samples import Sample
from tests.support.detector_data import coco_file, mixture_of


def test_a_pasted_person_has_a_box_and_hides_others(tmp_path: Path) -> None:
    mixture = mixture_of(coco_file(tmp_path))
    under = np.array([[30, 30, 60, 90]], np.float32)
    counts = set()
    for seed in range(20):
        sample = Sample(np.zeros((128, 128, 3), np.uint8), under, np.zeros((0, 4), np.float32))
        pasted = paste(sample, mixture, np.random.default_rng(seed))
        for x0, y0, x1, y1 in pasted.people[[not np.array_equal(b, under[0]) for b in pasted.people]].astype(int):
            assert pasted.image[y0:y1, x0:x1].any() and 0 <= x0 < x1 <= 128 and 0 <= y0 < y1 <= 128
        assert not sample.image.any()  # the sample itself stays as it was
        counts.add(len(pasted.people) + len(pasted.ignore))
    assert counts >= {1, 2}  # every picture here has people: pieces without any are not to be found
    over = np.zeros((128, 128), np.float32)
    over[:, :45] = 1
    assert _covered(under, over) == pytest.approx([0.5])


def test_outlined_people_are_pasted_along_the_outline(tmp_path: Path) -> None:
    path = coco_file(tmp_path)
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:  # the upper right triangle of each person's rectangle
        x, y, w, h = annotation["bbox"]
        annotation["segmentation"] = [[x, y, x + w, y, x + w, y + h]]
    path.write_text(json.dumps(content))
    (tmp_path / "plain").mkdir()
    plain = coco_file(tmp_path / "plain")
    mixture = mixture_of(plain, lending=path)
    assert [len(source) for source in mixture.sources] == [6, 6] and len(mixture) == 6
    assert all(mixture.draw(np.random.default_rng(seed))[0].name == "a" for seed in range(20))
    assert len(mixture.lenders) == 6 and not mixture_of(plain).lenders
    cutout = mixture.lenders[0]()
    assert cutout is not None
    assert cutout.image.shape == (*cutout.alpha.shape, 3) and 0.45 < cutout.alpha.mean() < 0.62
    assert cutout.alpha[2, -2] == 1 and cutout.alpha[-2, 2] == 0

    # two polygons of one person that overlap: all of both belongs to them
    content["annotations"][0]["segmentation"] = [[5, 5, 30, 5, 30, 30, 5, 30], [20, 20, 45, 20, 45, 45, 20, 45]]
    path.write_text(json.dumps(content))
    both = load_pictures(path, 80)[1][0].alpha
    assert both[2, 2] == both[20, 20] == both[-3, -3] == 1 and both[2, -3] == 0
    for wrong in ([[1, 2, 3, 4, 5, 6, 7]], [1, 2, 3, 4, 5, 6], [["a"] * 6]):
        content["annotations"][0]["segmentation"] = wrong
        path.write_text(json.dumps(content))
        with pytest.raises(InputError, match="segmentation of annotation 1"):
            load_pictures(path, 80)

    under = np.array([[30, 30, 60, 90]], np.float32)
    shares = []
    for seed in range(30):
        sample = Sample(np.full((128, 128, 3), 7, np.uint8), under, np.zeros((0, 4), np.float32))
        pasted = paste(sample, mixture, np.random.default_rng(seed))
        new = [b for b in pasted.people.astype(int) if b.tolist() != under[0].astype(int).tolist()]
        if len(new) == 1 and len(pasted.people) + len(pasted.ignore) == 2:
            x0, y0, x1, y1 = new[0]
            shares.append((pasted.image[y0:y1, x0:x1] != 7).any(-1).mean())
    assert len(shares) > 5 and np.median(shares) < 0.85  # a rounded rectangle fills nearly all of its box


def test_nobody_is_pasted_where_nobody_is(tmp_path: Path) -> None:
    sample = Sample(np.zeros((64, 64, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros((0, 4), np.float32))
    assert paste(sample, mixture_of(coco_file(tmp_path)), np.random.default_rng(0)) is sample
