"""Trains the encoder's variants behind one frozen backbone, all with the same windows and steps.

    python samples/ablation.py runs --weights single.safetensors --data coco=train.json --data clips=CLIPS

Each variant changes one thing of ``both branches``: which branches there are and what the high-resolution one sees, how
pruning picks tokens, tau, and how many tokens it keeps. The backbone's tokens are made once and kept for all. Weights
of each stand in a folder of their own; ``samples/compare_weights.py`` puts them beside each other. Variants whose
folder is finished are passed over, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

from ftpcli.errors import FtpError
from ftpcli.model.config import ModelConfig
from ftpcli.pose.weights import load_weights
from ftpcli.skeleton import Skeleton
from ftpcli.training.pose_trainer import PoseTrainer, Run
from ftpcli.training.recipe import RECIPES, RecipeName
from ftpcli.training.sources import DataSpec, open_data

VARIANTS: dict[str, dict[str, Any]] = {
    "both branches": {},
    "low-resolution branch alone": {"branches": "low"},
    "neighbours pruned": {"branches": "low", "coarse_blocks": 0, "keep_key": True},
    "neighbours halved": {"branches": "low", "coarse_blocks": 0, "keep_key": True, "low_ratio": 2},
    "neighbours whole": {"branches": "low", "coarse_blocks": 0, "keep_key": True, "low_ratio": 1},
    "finer maps": {"fine_maps": True},
    "grid": {"selector": "grid"},
    "random": {"selector": "random"},
    "adaptive tau": {"temperature": "adaptive"},
    "ratios 1": {"high_ratio": 1, "low_ratio": 1},
    "ratios 3": {"high_ratio": 3, "low_ratio": 3},
    "ratios 10": {"high_ratio": 10, "low_ratio": 10},
}


def variants(single: ModelConfig) -> dict[str, ModelConfig]:
    """Configurations by name; finer maps only where the stem has them."""
    paper = {"coarse_blocks": 1, "low_ratio": 6, "high_ratio": 6, "keep_key": False}
    start = single.replace(frames=3, branches="both", shared_blocks=1, **paper)
    return {
        name: start.replace(**changes)
        for name, changes in VARIANTS.items()
        if single.stem == "movenet" or "fine_maps" not in changes
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for the runs")
    parser.add_argument("--weights", type=Path, required=True, help="single-frame weights of 'ftp train'")
    parser.add_argument("--data", action="append", required=True, help="as of 'ftp train', repeatable")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--token-cache", type=float, default=0.7, help="GiB: the windows that all variants learn from")
    options = parser.parse_args()
    recipe = dataclasses.replace(
        RECIPES[RecipeName.TEMPORAL],
        steps=options.steps,
        batch=options.batch,
        lr=options.lr,
        token_cache=options.token_cache,
        ema=0.97,
    )
    kept = None
    try:
        single = load_weights(options.weights)[0]
        skeleton = Skeleton("model", single.joints)
        specs = [DataSpec.parse(text) for text in options.data]
        sources = [(open_data(spec, skeleton, "train"), spec.weight) for spec in specs]
        for name, config in variants(single).items():
            out = options.out / name.replace(" ", "-")
            if (out / "last.safetensors").is_file():
                continue
            out.mkdir(parents=True, exist_ok=True)
            print(f"{name}: {out}", flush=True)
            run = Run(config, recipe, out, sources, init=options.weights, tokens=kept, save_minutes=1e6)
            trainer = PoseTrainer(run, lambda row: None)
            trainer.run()
            if trainer.cache is not None and trainer.cache.full:
                kept = trainer.cache
    except FtpError as error:
        print(f"ablation: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
