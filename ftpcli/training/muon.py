"""Muon in float32, for processors that do not multiply bf16 natively.

torch and ultralytics run the Newton-Schulz iteration in bf16 whatever the machine. Where that is emulated, as on most
laptops, it takes as long as the rest of a training step or longer. Both trainings take this one there.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from ftpcli.device import choose_precision


def needs_float32(device: torch.device) -> bool:
    """Whether the device would emulate bf16."""
    return choose_precision("auto", device) != "bf16"


class Float32Muon(torch.optim.Muon):
    """torch's Muon (Jordan 2024) but for the precision; the state is the same.

    Takes ``match_rms_adamw`` alone as the adjustment of the rate (Liu et al. 2025, section 2.2).
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
    matrices: torch.Tensor,
    coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
    steps: int = 5,
    eps: float = 1e-7,
) -> torch.Tensor:
    """(R, C) or (N, R, C) matrices, singular values moved near 1 by Newton-Schulz iterations in their own precision."""
    a, b, c = coefficients
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.reshape(-1, *matrices.shape[-2:])
    x = x.mT if tall else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=eps)  # the spectral norm is at most 1
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).reshape(matrices.shape)
