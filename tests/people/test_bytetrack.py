"""Our ByteTrack against ultralytics', frame by frame."""

from __future__ import annotations

import numpy as np
import pytest

from ftpcli.people.bytetrack import ByteTrack


def crowd(seed: int, frames: int) -> list[np.ndarray]:
    """(N, 5) detections: people who wander, cross, are missed, seen faintly, leave and come; and false alarms."""
    chance = np.random.default_rng(seed)
    places, speeds = chance.uniform(50, 600, (9, 2)), chance.normal(0, 6, (9, 2))
    sizes = chance.uniform((15, 40), (60, 150), (9, 2))
    found = []
    for frame in range(frames):
        places += speeds + chance.normal(0, 1.5, places.shape)
        sizes *= chance.normal(1, 0.02, sizes.shape)
        there = [n for n in range(9) if chance.random() > 0.12 and not 40 * (n % 4) < frame < 40 * (n % 4) + 11 * n]
        middle, half = places[there], sizes[there] / 2
        rows = np.concatenate([middle - half, middle + half, chance.uniform(0.05, 1, (len(there), 1))], axis=1)
        noise = np.concatenate([chance.uniform(0, 600, (2, 4)), chance.uniform(0, 0.6, (2, 1))], axis=1)
        noise[:, 2:4] = noise[:, :2] + chance.uniform(0, 80, (2, 2)).round(-1)  # some without any height
        found.append(chance.permutation(np.concatenate([rows, noise])).astype(np.float32))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_ids_and_boxes_are_those_of_ultralytics(seed: int) -> None:
    from ftpcli.people._ultralytics import TRACKER_MAP, Boxes, IterableSimpleNamespace

    settings = IterableSimpleNamespace(
        track_high_thresh=0.3, track_low_thresh=0.1, new_track_thresh=0.3, track_buffer=12, match_thresh=0.8,
        fuse_score=False,
    )  # fmt: skip
    ours, theirs = ByteTrack(0.3, 0.1, 0.8, 12), TRACKER_MAP["bytetrack"](settings)
    ids = set()
    for rows in crowd(seed, 200):
        expected = theirs.update(Boxes(np.concatenate([rows, np.zeros((len(rows), 1), np.float32)], 1), (700, 700)))
        expected = np.asarray(expected).reshape(-1, 8)
        found = ours.update(rows)
        assert [(track.track_id, track.idx) for track in found] == [(int(row[4]), int(row[7])) for row in expected]
        np.testing.assert_allclose(
            [t.box for t in found] or np.zeros((0, 4)), expected[:, :4].reshape(len(found), 4), rtol=1e-5, atol=1e-3
        )
        mine, yours = ours.tracked_stracks, theirs.tracked_stracks
        assert [(t.track_id, t.is_activated) for t in mine] == [(t.track_id, t.is_activated) for t in yours]
        ids |= {track.track_id for track in found}
    assert len(ids) > 12  # of whom many were lost and found again
