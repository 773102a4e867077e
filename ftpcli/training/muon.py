"""Muon in float32, for processors that do not multiply bf16 natively."""

from __future__ import annotations

from collections.abc import Callable

import torch


class Float32Muon(torch.optim.Muon):
    """torch's Muon (Jordan 2024), its Newton-Schulz iteration in float32 instead of a hard-wired bf16.

    Where bf16 is emulated (most laptops), torch's own takes longer than the rest of a training step. Takes
    ``match_rms_adamw`` as the adjustment of the rate (Liu et al. 2025, section 2.2); the state is that of torch's.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["adjust_lr_fn"] != "match_rms_adamw":
                raise ValueError(f"adjust_lr_fn {group['adjust_lr_fn']}: only match_rms_adamw")
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(matrix.grad)
                momentum = state["momentum_buffer"].lerp_(matrix.grad, 1 - group["momentum"])
                update = matrix.grad.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum
                update = orthogonalise(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update, alpha=-0.2 * max(matrix.shape) ** 0.5 * group["lr"])
        return loss


def orthogonalise(
    matrix: torch.Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> torch.Tensor:
    """A (R, C) matrix with its singular values moved near 1, by Newton-Schulz iterations in the matrix's precision."""
    a, b, c = coefficients
    x = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    x = x / x.norm().clamp(min=eps)  # the spectral norm is at most 1
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if len(matrix) <= matrix.shape[1] else x.T
