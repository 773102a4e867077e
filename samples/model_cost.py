"""What a pose costs, stage by stage: floating point operations and CPU time of weights' models on torch.

    python samples/model_cost.py default other.safetensors

A pose is one crop through the backbone and one window through the encoder and the head, in fp32 on one thread, as a
person's next frame in a video. Times are the least of ``--repeat`` runs, all weights in turn.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ftpcli.errors import FtpError
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.pose.weights import build_model, weights_path

#: Beginnings of modules' names; those of a list end with a dot. The rest of a module is what its parts leave.
STAGES = {
    "backbone.trunk": "backbone's convolutions",
    "backbone": "backbone's blocks",
    "project": "backbone's blocks",
    "encoder.coarse.": "encoder's blocks before pruning",
    "encoder.shared.": "encoder's blocks after pruning",
    "encoder": "pruning; with --keep-key the last block",
    "head": "head",
}


def stage_of(name: str) -> str | None:
    """The stage that a module is; None for a part of one."""
    parent, _, last = name.rpartition(".")
    return STAGES.get(f"{parent}." if last.isdigit() else name)


def spent(model: FTPPose, crop: torch.Tensor, read: Callable[[], float]) -> dict[str, float]:
    """By how much a running number rises in each stage of one pose."""
    risen: dict[str, float] = defaultdict(float)
    open_stages: list[str] = []
    last = 0.0

    def note() -> None:
        nonlocal last
        now = read()
        if open_stages:
            risen[open_stages[-1]] += now - last
        last = now

    def begin(stage: str) -> None:
        note()
        open_stages.append(stage)

    def end() -> None:
        note()
        open_stages.pop()

    hooks = []
    for name, module in model.named_modules():
        if (stage := stage_of(name)) is not None:
            hooks.append(module.register_forward_pre_hook(lambda *_, stage=stage: begin(stage)))
            hooks.append(module.register_forward_hook(lambda *_: end()))
    try:
        tokens = model.encode(crop)
        model.decode(torch.stack([tokens] * model.config.frames, dim=1))
    finally:
        for hook in hooks:
            hook.remove()
    return risen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="+", help="files, or default")
    parser.add_argument("--repeat", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        models = {name: build_model(Path(weights_path(name)))[0] for name in options.weights}
    except FtpError as error:
        print(f"model_cost: {error}", file=sys.stderr)
        return 1
    times: dict[str, list[dict[str, float]]] = {name: [] for name in models}
    operations = {}
    with torch.inference_mode():
        for name, model in models.items():
            crop = torch.rand(1, 3, *model.config.image_size)
            with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # others are not counted
                operations[name] = spent(model, crop, lambda: counter.get_total_flops() / 1e6)
        for _ in range(options.repeat):
            for name, model in models.items():
                crop = torch.rand(1, 3, *model.config.image_size)
                times[name].append(spent(model, crop, lambda: time.thread_time() * 1000))
    for name in models:
        print(f"{name}, {models[name].config.frames} frames")
        print("| stage | million operations | ms |\n|---|---|---|")
        rows = {s: (operations[name].get(s, 0), min(t.get(s, 0) for t in times[name])) for s in STAGES.values()}
        rows["all"] = (sum(row[0] for row in rows.values()), sum(row[1] for row in rows.values()))
        for stage, (count, least) in rows.items():
            print(f"| {stage} | {count:,.0f} | {least:.1f} |")
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
