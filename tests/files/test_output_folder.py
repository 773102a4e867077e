"""Folders as outputs."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from ftpcli.errors import OutputError
from ftpcli.files.output_folder import output_folder


def test_a_second_run_on_one_folder_is_refused(tmp_path: Path) -> None:
    """It must not remove, or write between, what the first one has written so far."""
    with output_folder(tmp_path / "out") as first:
        first.write("a/1.txt", b"1")
        with pytest.raises(OutputError, match="out: another run is writing it"), output_folder(tmp_path / "out"):
            pass
        first.write("a/2.txt", b"2")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["1.txt", "2.txt", "a", "out"]
    with pytest.raises(KeyError), output_folder(tmp_path / "other"):
        raise KeyError
    with output_folder(tmp_path / "other") as again:
        again.write("3.txt", b"3")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "out"]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(folder: Path) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", closed)
    with pytest.raises(OutputError, match="not permitted"), output_folder(tmp_path):
        pass
