"""Work shared out to threads: nothing lost, nothing out of order, torch left as it was."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from ftpcli.threads import Threads


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("items", [0, 1, 2, 7, 24])
def test_every_item_has_its_result_in_order(count: int, items: int) -> None:
    parts: list[Sequence[int]] = []

    def double(part: Sequence[int]) -> list[int]:
        parts.append(part)
        return [2 * item for item in part]

    assert Threads(count).map(double, range(items)) == [2 * item for item in range(items)]
    sizes = [len(part) for part in parts]
    assert len(sizes) == min(count, items) or (count == 1 and items)
    assert not items or max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("items", "share"), [(1, 4), (2, 2), (3, 1), (9, 1)])
def test_each_part_has_its_share_of_torch_threads(items: int, share: int) -> None:
    before = torch.get_num_threads()
    assert Threads(4).map(lambda part: [torch.get_num_threads() for _ in part], range(items)) == [share] * items
    assert torch.get_num_threads() == before


def test_the_first_error_is_told_and_the_next_call_works() -> None:
    threads, before = Threads(3), torch.get_num_threads()

    def fail(part: Sequence[int]) -> list[int]:
        raise ValueError(f"part from {part[0]}")

    with pytest.raises(ValueError, match="part from 0"):
        threads.map(fail, range(9))
    assert torch.get_num_threads() == before
    assert threads.map(list, range(9)) == list(range(9))


def test_parts_run_at_the_same_time() -> None:
    """Each waits for the other."""
    from threading import Barrier

    barrier = Barrier(2, timeout=20)
    assert Threads(2).map(lambda part: [barrier.wait() >= 0 for _ in part], [0, 1]) == [True, True]
