"""Which device a process of torchrun takes."""

from __future__ import annotations

import pytest
import torch

from ftpcli.errors import UsageError
from ftpcli.training.distributed import own_device


def test_a_process_takes_the_gpu_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    cuda = torch.device("cuda")
    assert own_device(cuda) == cuda  # it is alone
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert own_device(cuda) == torch.device("cuda", 1)
    assert own_device(torch.device("cuda", 0)) == torch.device("cuda", 0)  # named
    assert own_device(torch.device("cpu")) == torch.device("cpu")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UsageError, match="process 3 on this machine has no GPU: there are 2"):
        own_device(cuda)
