"""Density-peaks pruning against a literal reading of the paper's equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ftpcli.model.pruning import density_peak_scores, gather_tokens, kept_tokens, select_tokens


def literal_selection(x: np.ndarray, ratio: int, k: int = 5, tau: float | None = None) -> list[int]:
    """Equations 1 and 2 and the score, token by token, in double precision; ties go to the lower index."""
    x = x.astype(np.float64)
    count = len(x)
    tau = x.shape[1] if tau is None else tau
    k = min(k, count - 1)
    log_rho = []
    for i in range(count):
        squares = sorted(float(((x[i] - x[j]) ** 2).sum()) for j in range(count) if j != i)[:k]
        log_rho.append(-sum(squares) / len(squares) / tau if squares else 0.0)
    score = []
    for i in range(count):
        distances = [float(np.sqrt(((x[i] - x[j]) ** 2).sum())) for j in range(count)]
        denser = [d for j, d in enumerate(distances) if (-log_rho[j], j) < (-log_rho[i], i)]
        delta = min(denser) if denser else max(distances)
        score.append(log_rho[i] + (math.log(delta) if delta > 0 else -math.inf))
    order = sorted(range(count), key=lambda i: (-score[i], i))
    return sorted(order[: max(1, count // ratio)])


def tokens(kind: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "random":
        return rng.standard_normal((96, 24)).astype(np.float32)
    if kind == "clustered":
        centres = rng.standard_normal((7, 16)) * 4
        return (centres[rng.integers(0, 7, 120)] + rng.standard_normal((120, 16)) * 0.3).astype(np.float32)
    if kind == "duplicates":
        few = rng.integers(-3, 4, (9, 8)).astype(np.float32)  # whole numbers: distances tie exactly
        return few[rng.integers(0, 9, 60)]
    if kind == "identical":
        return np.ones((30, 8), np.float32)
    return rng.standard_normal((1, 8)).astype(np.float32)


@pytest.mark.parametrize("kind", ["random", "clustered", "duplicates", "identical", "single"])
@pytest.mark.parametrize("ratio", [1, 3, 6, 10])
def test_selects_what_the_equations_select(kind: str, ratio: int) -> None:
    batch = np.stack([tokens(kind, seed) for seed in range(3)])
    chosen = select_tokens(torch.from_numpy(batch), ratio)
    assert [row.tolist() for row in chosen] == [literal_selection(x, ratio) for x in batch]


@pytest.mark.parametrize(("k", "tau"), [(1, 1.0), (3, 50.0), (500, 24.0)])
def test_neighbours_and_temperature(k: int, tau: float) -> None:
    x = tokens("random", 5)
    chosen = select_tokens(torch.from_numpy(x)[None], 6, neighbours=k, temperature=tau)[0]
    assert chosen.tolist() == literal_selection(x, 6, k, tau)


@pytest.mark.parametrize(("distances", "calls"), [(1, 4), (2 * 96**2, 2), (3 * 96**2, 2)])
def test_parts_of_a_large_batch_agree_with_the_batch(
    distances: int, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many samples at a time as have so many distances, one at least."""
    from ftpcli.model import pruning

    x = torch.from_numpy(np.stack([tokens("random", seed) for seed in range(4)]))
    whole = select_tokens(x, 6)
    assert x.shape[1] == 96
    honest, sizes = pruning._scores, []
    monkeypatch.setattr(pruning, "_scores", lambda x, k, tau: sizes.append(len(x)) or honest(x, k, tau))
    monkeypatch.setattr(pruning, "_DISTANCES", distances)
    assert torch.equal(select_tokens(x, 6), whole)
    assert len(sizes) == calls and sum(sizes) == 4


def test_no_underflow_where_rho_itself_would_vanish() -> None:
    x = torch.from_numpy(tokens("random", 1))[None] * 1000
    scores = density_peak_scores(x, temperature=1.0)
    assert torch.isfinite(scores).all()
    assert scores.unique().numel() > 90


def test_fp32_inside_autocast_and_half_precision_tokens() -> None:
    x = torch.from_numpy(tokens("clustered", 2))[None]
    with torch.autocast("cpu", torch.bfloat16):
        scores = density_peak_scores(x)
    assert scores.dtype == torch.float32
    assert torch.equal(scores, density_peak_scores(x))
    half = x.bfloat16()
    assert torch.equal(density_peak_scores(half), density_peak_scores(half.float()))


def test_broken_tokens_are_chosen_last_and_do_not_disturb_the_others() -> None:
    x = torch.from_numpy(tokens("random", 3))[None].clone()
    x[0, 10] = float("nan")
    x[0, 20, 3] = float("inf")
    scores = density_peak_scores(x)[0]
    assert scores[10] == scores[20] == -math.inf
    rest = [i for i in range(96) if i not in (10, 20)]
    alone = density_peak_scores(x[:, rest])[0]
    torch.testing.assert_close(scores[rest], alone, rtol=1e-4, atol=1e-4)
    assert not {10, 20} & set(select_tokens(x, 6)[0].tolist())


def test_all_tokens_broken_still_selects() -> None:
    assert select_tokens(torch.full((1, 12, 4), float("nan")), 6)[0].tolist() == [0, 1]


def test_controls_and_counts() -> None:
    x = torch.from_numpy(tokens("random", 4))[None].repeat(2, 1, 1)
    assert kept_tokens(5, 6) == 1
    assert select_tokens(x, 6, "grid")[0].tolist() == [i * 6 for i in range(16)]
    first, second = select_tokens(x, 6, "random"), select_tokens(x, 6, "random")
    assert torch.equal(first, second) and first[0].unique().numel() == 16
    assert torch.equal(gather_tokens(x, first)[1, 0], x[1, first[1, 0]])


def test_an_adaptive_temperature_is_free_of_scale() -> None:
    """Tokens a thousand times as far apart give the same selection; a fixed temperature's depends on the scale."""
    torch.manual_seed(0)
    x = torch.randn(2, 48, 32) * torch.rand(2, 48, 1).add(0.2)
    adaptive = [select_tokens(x * scale, 4, temperature="adaptive") for scale in (1.0, 1e-3, 1e3)]
    assert torch.equal(adaptive[0], adaptive[1]) and torch.equal(adaptive[0], adaptive[2])
    assert not torch.equal(select_tokens(x, 4), select_tokens(x * 1e3, 4))
    alone = density_peak_scores(x[:1], temperature="adaptive")
    assert torch.equal(density_peak_scores(x, temperature="adaptive")[:1], alone)  # a sample's own
    same = density_peak_scores(torch.ones(1, 6, 4), temperature="adaptive")
    assert not same.isnan().any()
