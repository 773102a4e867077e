"""Work shared out to threads: nothing lost, nothing out of order, torch left as it was."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from ftpcli.device import Threads


@pytest.mark.parametrize("most", [None, 1, 2, 5])
@pytest.mark.parametrize("items", [0, 1, 2, 7, 24])
def test_every_item_has_its_result_in_order(most: int | None, items: int) -> None:
    """In the same parts, whatever the number of threads."""
    sizes = {}
    for count in (1, 2, 8):
        parts: list[Sequence[int]] = []

        def double(part: Sequence[int], parts: list[Sequence[int]] = parts) -> list[int]:
            parts.append(part)
            return [2 * item for item in part]

        assert Threads(most, count).map(double, range(items)) == [2 * item for item in range(items)]
        sizes[count] = sorted(len(part) for part in parts)
    assert sizes[1] == sizes[2] == sizes[8] and sum(sizes[1]) == items
    assert not items or (sizes[1][0] >= 1 and sizes[1][-1] - sizes[1][0] <= 1 and sizes[1][-1] <= (most or items))


@pytest.mark.parametrize("items", [1, 3, 9])
def test_each_part_has_one_torch_thread(items: int) -> None:
    before = torch.get_num_threads()
    assert Threads(1, 4).map(lambda part: [torch.get_num_threads() for _ in part], range(items)) == [1] * items
    assert torch.get_num_threads() == before


def test_the_first_error_is_told_and_the_next_call_works() -> None:
    threads, before = Threads(3, 3), torch.get_num_threads()

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
    assert Threads(1, 2).map(lambda part: [barrier.wait() >= 0 for _ in part], [0, 1]) == [True, True]
