"""Feature token pruning by density-peaks clustering (paper section II-B, equations 1 and 2)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ftpcli.model.choices import ADAPTIVE

# So many distances (16 MB) at a time: more samples together are no faster, and would not fit in memory.
_DISTANCES = 1 << 22
#: A squared distance that no two tokens have.
_FAR = 1e30


def _squared_distances(x: Tensor, broken: Tensor) -> Tensor:
    """(B, N, C) tokens -> (B, N, N) squared Euclidean distances, infinite on the diagonal and from and to ``broken``.

    Written for few passes over N x N numbers: on a CPU they, not the product, are what selection costs.
    """
    x = x.masked_fill(broken[:, :, None], 0.0)
    x = x - x.mean(dim=1, keepdim=True)  # smaller norms, smaller cancellation
    gram = (2 * x) @ x.transpose(1, 2)
    # The norms are read off the product itself, so identical tokens come out exactly 0 apart.
    norms = (gram.diagonal(dim1=1, dim2=2) / 2).masked_fill(broken, float("inf"))
    distances = (norms[:, :, None] + norms[:, None, :]).sub_(gram).clamp_min_(0)
    if torch.onnx.is_in_onnx_export():  # which knows no writing into a view
        return distances + torch.from_numpy(np.diag(np.full(int(x.shape[1]), np.inf, np.float32)))
    distances.diagonal(dim1=1, dim2=2).fill_(float("inf"))
    return distances


def _highest(values: Tensor, count: int) -> Tensor:
    """(B, N) -> (B, count) indices of the highest, descending, ties by index."""
    if torch.onnx.is_in_onnx_export():  # has no stable sort, but ONNX's TopK settles ties by index
        return values.topk(count, dim=1).indices
    return torch.sort(values, dim=1, descending=True, stable=True).indices[:, :count]


def density_peak_scores(x: Tensor, neighbours: int = 5, temperature: float | str | None = None) -> Tensor:
    """Logarithm of the cluster-centre score of every token, in fp32 whatever autocast says.

    log score_i = log rho_i + log delta_i, the order of rho_i * delta_i without its underflow. With d_ij the
    Euclidean distance: log rho_i = -mean of d_ij^2 over the k nearest other tokens / tau (eq. 1); delta_i is the
    distance to the nearest denser token, and the largest distance for the densest (eq. 2). Of two equally dense
    tokens the one with the lower index counts as denser, so duplicates score -inf (delta = 0) but for the first.

    Args:
        x: (B, N, C) tokens. A token that is not finite counts as infinitely far from all and scores -inf.
        neighbours: k, clipped to N - 1. A single token has density 1.
        temperature: tau; None is C; ``adaptive`` the median of a sample's mean squared distances to the neighbours.

    Returns:
        (B, N) float32.
    """
    with torch.autocast(x.device.type, enabled=False):
        x = x.detach().float()
        tau = float(x.shape[2]) if temperature is None else None if temperature == ADAPTIVE else float(temperature)
        if torch.onnx.is_in_onnx_export():
            return _scores(x, neighbours, tau)
        at_once = max(1, _DISTANCES // x.shape[1] ** 2)
        return torch.cat([_scores(samples, neighbours, tau) for samples in x.split(at_once)])


def _scores(x: Tensor, neighbours: int, tau: float | None) -> Tensor:
    batch, count = x.shape[:2]
    infinity = float("inf")
    broken = (x * 0).sum(dim=2) != 0  # tokens with a number that is infinite or none
    distances = _squared_distances(x, broken)

    k = min(neighbours, count - 1)
    if k > 0:
        near = distances.topk(k, dim=2, largest=False, sorted=False).values.mean(dim=2)
        # The median is of the tokens that are finite; of identical ones it is 0, and so is every distance.
        scale = near.sort(dim=1).values[:, (count - 1) // 2, None].clamp(1e-12, 1e30) if tau is None else tau
        log_density = -near / scale
    else:
        log_density = torch.zeros_like(distances[:, :, 0])

    order = _highest(log_density, count)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(count, device=x.device).expand(batch, -1))
    from_densest = distances.gather(1, order[:, :1, None].expand(-1, -1, count))[:, 0]
    farthest = from_densest.masked_fill(from_densest.isinf(), 0.0).amax(dim=1, keepdim=True)
    if torch.onnx.is_in_onnx_export():  # choosing among N x N numbers takes ONNX Runtime six times as long as adding
        far = rank.float() * _FAR
        to_denser = (distances + (far[:, None, :] - far[:, :, None]).clamp_min(0)).amin(dim=2)
    else:
        to_denser = torch.where(rank[:, None, :] >= rank[:, :, None], infinity, distances).amin(dim=2)
    separation = torch.where(to_denser < _FAR, to_denser, farthest)
    return (log_density + 0.5 * separation.log()).masked_fill(broken, -infinity)


def kept_tokens(count: int, ratio: int) -> int:
    """N // epsilon, at least one."""
    return max(1, count // ratio)


def select_tokens(
    x: Tensor, ratio: int, selector: str = "dpc", neighbours: int = 5, temperature: float | str | None = None
) -> Tensor:
    """Indices of the N // ratio tokens with the highest scores, ties by index.

    Args:
        x: (B, N, C) tokens.
        ratio: epsilon; 1 keeps all.
        selector: ``dpc``; ``grid`` takes evenly spaced indices; ``random`` a fixed pseudo-random subset.
        neighbours, temperature: see :func:`density_peak_scores`.

    Returns:
        (B, N // ratio) int64, ascending in each row.
    """
    batch, count = x.shape[0], int(x.shape[1])
    keep = kept_tokens(count, ratio)
    if keep == count:
        return torch.arange(count, device=x.device).expand(batch, -1)
    if selector == "grid":
        chosen = torch.arange(keep, device=x.device) * count // keep
        return chosen.expand(batch, -1)
    if selector == "random":
        generator = torch.Generator().manual_seed(count * 100_003 + keep)
        chosen = torch.tensor(sorted(torch.randperm(count, generator=generator)[:keep].tolist()), device=x.device)
        return chosen.expand(batch, -1)
    scores = density_peak_scores(x, neighbours, temperature)
    return _highest(scores, keep).sort(dim=1).values


def gather_tokens(x: Tensor, index: Tensor) -> Tensor:
    """(B, N, C) tokens, (B, n) indices -> (B, n, C)."""
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[2]))
