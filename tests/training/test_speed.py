"""Loading a set of the size of PoseTrack18's training part: 97,000 people, small pictures. Run with ``-m slow -s``."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from ftpcli.device import peak_memory
from ftpcli.skeleton import PERSON19
from ftpcli.training.batches import Examples
from ftpcli.training.mixture import Mixture
from ftpcli.training.recipe import RECIPES
from ftpcli.training.sources import PoseTrack
from ftpcli.training.sources.common import PictureCache
from tests.support.eval_support import crowd, save, video18


@pytest.mark.slow
def test_an_epoch_of_posetrack18_s_size_in_bounded_memory(tmp_path: Path) -> None:
    """Windows of three frames as the paper's recipe takes them, half of the pictures kept."""
    rng = np.random.default_rng(0)
    picture = cv2.imencode(".jpg", rng.integers(0, 256, (64, 114, 3), np.uint8))[1].tobytes()
    bound, pictures = 2**27, 0
    for number in range(593):
        truth, _ = crowd(rng, 30, int(rng.integers(2, 10)), miss=1.0)
        name = f"{number:06d}_mpii_train"
        data = video18(truth, name)
        for image in data["images"]:
            image["file_name"] = image["file_name"].replace("/val/", "/train/")
            place = tmp_path / image["file_name"]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(picture)
            pictures += 1
        save(tmp_path / "annotations" / "train", data, name)
    source = PoseTrack(tmp_path, "18", PERSON19, cache=PictureCache(bound))
    assert 90_000 < len(source) < 105_000
    examples = Examples(Mixture([(source, 1.0)], 0), (256, 192), 3, RECIPES["paper"].augmentation, 0)
    memory, start = [], time.process_time()
    for counter in range(len(source)):
        assert examples[counter] is not None
        if counter % 1000 == 999:
            memory.append(peak_memory() or 0.0)
    took = time.process_time() - start
    print(f"\n{len(source)} people on {pictures} pictures: {len(source) / took:.0f} windows a second of one CPU")
    print(f"peak memory after 10,000 windows {memory[9]:.0f} MiB, at the end {memory[-1]:.0f} MiB")
    print(f"pictures kept at most {bound >> 20} MiB")
    assert memory[-1] < memory[9] + bound / 2**20 + 50
