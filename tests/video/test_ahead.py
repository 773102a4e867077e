"""Frames that are decoded in another thread are the same ones."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ftpcli.errors import InputError
from ftpcli.video import VideoReader
from ftpcli.video.ahead import ReadAhead
from tests.support.odd_videos import encode, read_mark


def opened(path: Path) -> VideoReader:
    return VideoReader(path).__enter__()


def test_all_frames_come_in_order_and_few_wait(tmp_path: Path) -> None:
    reader, looked = opened(encode(tmp_path / "a.mp4", count=30)), []
    ahead = ReadAhead(reader, 3, lambda image: looked.append((threading.get_ident(), read_mark(image))))
    taken = []
    for frame in ahead:
        time.sleep(0.005 if frame.index % 10 else 0.1)  # now and then long enough for the thread to be stopped
        assert len(looked) <= frame.index + 1 + 3 + 1  # those that wait, and the one that has no room yet
        taken.append(frame)
    assert [frame.index for frame in taken] == [read_mark(frame.image) for frame in taken] == list(range(30))
    assert [mark for _, mark in looked] == list(range(30)) and threading.get_ident() not in dict(looked)
    assert (ahead.decoded, ahead.bad_packets, ahead.warnings, ahead.live) == (30, 0, [], None)
    assert ahead.expected == 30 and ahead.frame_name is None and reader._container is None


def test_an_error_comes_after_the_frames_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = opened(encode(tmp_path / "a.mp4", count=10))
    honest = reader._convert

    def fail_at_six(picture: object) -> np.ndarray:
        if reader.decoded > 6:
            raise InputError("torn")
        return honest(picture)  # type: ignore[arg-type]

    monkeypatch.setattr(reader, "_convert", fail_at_six)
    taken = []
    with pytest.raises(InputError, match="torn"):
        for frame in ReadAhead(reader, 2):
            taken.append(frame.index)
    assert taken == list(range(6)) and reader._container is None


def test_it_can_be_left_at_any_moment(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", count=30)
    for left_after in (0, 1, 7):
        reader = opened(path)
        ahead = ReadAhead(reader, 2)
        frames = iter(ahead)
        for _ in range(left_after):
            next(frames)
        ahead.close()
        assert reader._container is None and not ahead._thread.is_alive()
        ahead.close()
