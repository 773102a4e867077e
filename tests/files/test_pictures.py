"""Single picture files."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from ftpcli.errors import InputError
from ftpcli.files.pictures import read_picture


def test_a_picture_that_claims_an_absurd_size_is_named(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    with pytest.raises(InputError, match=r"a\.png: claims more pixels than can be read"):
        read_picture(tmp_path / "a.png")
