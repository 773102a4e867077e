"""Views: kept while the box fits, the same whenever a run begins, and what annotate does with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ftpcli.annotation.annotator import Annotator
from ftpcli.annotation.options import Options
from ftpcli.errors import UsageError
from ftpcli.pose.views import HoldViews
from ftpcli.records import Frame, Person, TrackedFrame

IMAGE = np.zeros((2, 2, 3), np.uint8)
BOX = np.array([100.0, 100, 200, 300])


def views(boxes: list[dict[int, np.ndarray]], tolerance: float = 0.05) -> list[dict[int, np.ndarray]]:
    """The view of each track in each frame."""
    frames = [
        TrackedFrame(Frame(n, n, n / 25, IMAGE), tuple(Person(i, box, 0.5) for i, box in people.items()))
        for n, people in enumerate(boxes)
    ]
    out = list(HoldViews(tolerance)(iter(frames)))
    for before, after in zip(frames, out, strict=True):
        assert after.frame is before.frame
        for one, other in zip(before.people, after.people, strict=True):
            assert (one.track_id, one.score) == (other.track_id, other.score) and one.box is other.box
    return [{p.track_id: p.view for p in tracked.people if p.view is not None} for tracked in out]


def test_a_trembling_box_keeps_its_view() -> None:
    rng = np.random.default_rng(0)
    shaken = [{1: BOX + rng.uniform(-4, 4, 4) if n else BOX} for n in range(50)]
    assert all(view[1] is BOX for view in views(shaken))


def test_the_view_follows_who_walks() -> None:
    boxes = [{1: BOX + np.array([3.0 * n, 0, 3.0 * n, 0])} for n in range(40)]
    seen = views(boxes)
    changes = [n for n in range(1, 40) if seen[n][1] is not seen[n - 1][1]]
    assert np.diff(changes).tolist() == [4] * (len(changes) - 1)  # 10 pixels, a twentieth of the height, are 3 frames
    for view, box in zip(seen, boxes, strict=True):
        assert np.abs(view[1] - box[1]).max() <= 10


@pytest.mark.parametrize("grown", [np.array([0.0, -30, 0, 0]), np.array([-15.0, 0, 15, 0]), np.array([0.0, 20, 0, 20])])
def test_a_box_that_no_longer_fits_is_the_new_view(grown: np.ndarray) -> None:
    assert views([{1: BOX}, {1: BOX + grown}])[1][1].tolist() == (BOX + grown).tolist()


def test_people_have_views_of_their_own_and_keep_none_while_away() -> None:
    near = BOX + 2
    seen = views([{1: BOX, 2: near}, {2: BOX}, {1: near, 2: BOX + 1}])
    assert seen[0][1] is BOX and seen[0][2] is near
    assert seen[2][1] is near  # 1 was not there in between
    assert seen[2][2] is near


def test_no_tolerance_is_every_box_by_itself() -> None:
    boxes = [{1: BOX}, {1: BOX.copy()}, {1: BOX + 0.1}]
    for view, box in zip(views(boxes, 0.0), boxes, strict=True):
        assert view[1].tolist() == box[1].tolist()


def test_annotating_with_and_without(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Boxes in the file are the people's own; the option is recorded, and far fewer crops are encoded."""
    from ftpcli.model.ftp_pose import FTPPose
    from tests.support.walkers import Bright, walkers

    clip = walkers(tmp_path / "walkers.mp4", 60)
    monkeypatch.setattr("ftpcli.people.loading.load_detector", lambda *_, **__: Bright())
    honest, encoded = FTPPose.encode, []
    monkeypatch.setattr(FTPPose, "encode", lambda self, x: encoded.append(len(x)) or honest(self, x))
    boxes, counts = [], []
    for share in (0.0, 0.05):
        encoded.clear()
        options = Options(weights=str(tiny_model), hold_views=share)
        with Annotator(options, engine="torch", device="cpu").open(str(clip)) as annotation:
            boxes.append([[pose.box.tolist() for pose in frame.poses] for frame in annotation])
            assert annotation.header.run.options["hold_views"] == share
        counts.append(sum(encoded))
    assert boxes[0] == boxes[1]
    assert counts[1] < 0.7 * counts[0]


@pytest.mark.parametrize("share", [-0.01, 0.2, float("nan")])
def test_an_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="--hold-views"):
        Options(hold_views=share)
