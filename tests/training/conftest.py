"""Generated training data that several tests read."""

from __future__ import annotations

import pytest

from ftpcli.skeleton import PERSON19
from ftpcli.training.sources import CocoKeypoints
from tests.support.training_data import make_coco


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> CocoKeypoints:
    return CocoKeypoints(make_coco(tmp_path_factory.mktemp("coco")), PERSON19)
