"""Averaged weights: along a training, and of several trainings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

State = dict[str, torch.Tensor]


class Average:
    """Exponential moving average of a model's state; buffers that are no floats are copied.

    Young averages decay faster.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state: State = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        now = model.state_dict()
        floats = [name for name, value in now.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.state[n] for n in floats], [now[n] for n in floats], 1 - decay)
        for name in now.keys() - floats:
            self.state[name].copy_(now[name])


def mean_state(states: Sequence[State]) -> State:
    """The mean of states of one model; what is no float is the first one's.

    Wortsman et al. 2022, Model soups; also Robust fine-tuning of zero-shot models.
    """
    return {
        name: torch.stack([state[name].float().cpu() for state in states]).mean(dim=0)
        if value.is_floating_point()
        else value.cpu()
        for name, value in states[0].items()
    }
