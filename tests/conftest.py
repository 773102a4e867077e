"""Shared fixtures."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real clips, data and golden cases that stands beside the checkout for developers and CI."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the shared test data (real clips, golden cases) is not beside this checkout")
    return folder
