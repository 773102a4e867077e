"""What tells a source from another of the same name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ftpcli.files.content import content_of


def test_videos_by_size_and_ends(tmp_path: Path) -> None:
    file, size = tmp_path / "a.mp4", 5 << 20
    seen = set()
    for changed in (0, size - 1, size, None):
        data = bytearray(size + (changed == size))
        if changed is not None and changed < size:
            data[changed] = 1
        file.write_bytes(data)
        seen.add(content_of(str(file)))
    assert len(seen) == 4 and None not in seen and content_of(file.as_uri()) == content_of(str(file))
    other = tmp_path / "sub" / "b.mp4"
    other.parent.mkdir()
    assert content_of(str(file.rename(other))) in seen


def test_pictures_by_name_size_and_middle(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.bmp").write_bytes(bytes(10_000))
    seen = [content_of(str(tmp_path))]
    (tmp_path / "poses.json").write_text("{}")  # no picture
    assert content_of(str(tmp_path)) == seen[0]
    (tmp_path / "b.bmp").write_bytes(bytes(5_000) + b"1" + bytes(4_999))
    seen.append(content_of(str(tmp_path)))
    (tmp_path / "b.bmp").write_bytes(bytes(10_001))
    seen.append(content_of(str(tmp_path)))
    (tmp_path / "b.bmp").rename(tmp_path / "c.bmp")
    seen.append(content_of(str(tmp_path)))
    assert len(set(seen)) == 4


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs a file of Linux that cannot be read")
def test_a_picture_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"1")
    before = content_of(str(tmp_path))
    (tmp_path / "b.jpg").symlink_to("/proc/self/mem")
    assert content_of(str(tmp_path)) not in (before, None)


@pytest.mark.parametrize("name", ["-", "", "http://127.0.0.1/etc/passwd", "rtsp://camera/", "missing.mp4"])
def test_others_have_none(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"1")
    assert content_of(name) is None
