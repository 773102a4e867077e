"""``ftp train``: trains the pose model, or the person detector, on your data."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ftpcli.errors import UsageError

if TYPE_CHECKING:
    from ftpcli.model.config import ModelConfig
    from ftpcli.training.recipe import Recipe

_DATA, _MODEL, _RECIPE, _RUN = "Data", "Model", "Recipe (defaults are the recipe's)", "Run"


def command(
    context: typer.Context,
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            help="KIND=PATH[:WEIGHT], repeatable. Kinds: coco, clips, posetrack17, posetrack18, posetrack21, poses. "
            "With --task detector: NAME=boxes.json[:WEIGHT] (COCO detection); weight 0 only lends people for pasting.",
            rich_help_panel=_DATA,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for log, checkpoint and weights.")],
    val: Annotated[
        list[str] | None,
        typer.Option("--val", help="KIND=PATH, repeatable: PCK is measured on its val split.", rich_help_panel=_DATA),
    ] = None,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Leave out persons whose picture is missing.", rich_help_panel=_DATA)
    ] = False,
    task: Annotated[str, typer.Option(help="pose or detector.")] = "pose",
    preset: Annotated[
        str | None,
        typer.Option(
            help="tiny, small or base (the paper's size). Without it: what --weights has, else tiny.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    frames: Annotated[int | None, typer.Option(help="Frames of a window: 1, 3, 5.", rich_help_panel=_MODEL)] = None,
    branches: Annotated[
        str | None, typer.Option(help="none (backbone and head), low (baseline) or both.", rich_help_panel=_MODEL)
    ] = None,
    high_ratio: Annotated[int | None, typer.Option(help="Pruning, high resolution.", rich_help_panel=_MODEL)] = None,
    low_ratio: Annotated[int | None, typer.Option(help="Pruning, low resolution.", rich_help_panel=_MODEL)] = None,
    selector: Annotated[str | None, typer.Option(help="dpc, grid or random.", rich_help_panel=_MODEL)] = None,
    upsample: Annotated[int | None, typer.Option(help="Per side: 2 or 4.", rich_help_panel=_MODEL)] = None,
    stem: Annotated[
        str | None, typer.Option(help="patch, residual, efficientnet or movenet.", rich_help_panel=_MODEL)
    ] = None,
    depth: Annotated[int | None, typer.Option(help="Blocks of the backbone.", rich_help_panel=_MODEL)] = None,
    heatmap: Annotated[str | None, typer.Option(help="gaussian or softmax.", rich_help_panel=_MODEL)] = None,
    image_size: Annotated[
        str | None, typer.Option(help="Crop the model is for, HxW, as in 256x192.", rich_help_panel=_MODEL)
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="A timm vit_*_patch16_* name.", rich_help_panel=_MODEL)] = None,
    backbone_weights: Annotated[
        str,
        typer.Option(
            help="random; pretrained (timm downloads them); or a file (timm, MAE, ViTPose, ours), also replacing "
            "the backbone of --weights.",
            rich_help_panel=_MODEL,
        ),
    ] = "random",
    stem_weights: Annotated[
        Path | None,
        typer.Option(
            help="For --stem efficientnet: EfficientNet-Lite0's (timm or EfficientNet-PyTorch); for --stem movenet: "
            "MoveNet Thunder's ONNX file (needs onnx).",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Start from weights of ftp train; 'default' is the bundled file.", rich_help_panel=_MODEL),
    ] = None,
    average_with: Annotated[
        list[Path] | None,
        typer.Option(
            help="Also write averaged.safetensors, the mean of the trained weights and of these; repeatable.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="paper, scratch, temporal or finetune.", rich_help_panel=_RECIPE)
    ] = "paper",
    epochs: Annotated[int | None, typer.Option(rich_help_panel=_RECIPE)] = None,
    steps: Annotated[int | None, typer.Option(help="In place of epochs.", rich_help_panel=_RECIPE)] = None,
    batch: Annotated[
        int | None, typer.Option(help="Windows a step, over all processes.", rich_help_panel=_RECIPE)
    ] = None,
    accumulate: Annotated[int | None, typer.Option(help="Parts a batch is done in.", rich_help_panel=_RECIPE)] = None,
    lr: Annotated[float | None, typer.Option(rich_help_panel=_RECIPE)] = None,
    backbone_lr: Annotated[
        float | None, typer.Option(help="Of the backbone, relative to lr; 0 freezes it.", rich_help_panel=_RECIPE)
    ] = None,
    stem_lr: Annotated[
        float | None,
        typer.Option(help="Of the trained part of a stem, relative to the backbone's.", rich_help_panel=_RECIPE),
    ] = None,
    key_gradient_only: Annotated[
        bool | None,
        typer.Option(help="The backbone learns from key frames alone: half the time a step.", rich_help_panel=_RECIPE),
    ] = None,
    warmup: Annotated[int | None, typer.Option(help="Steps.", rich_help_panel=_RECIPE)] = None,
    schedule: Annotated[str | None, typer.Option(help="cosine or step.", rich_help_panel=_RECIPE)] = None,
    final: Annotated[float | None, typer.Option(help="Cosine's end, relative to lr.", rich_help_panel=_RECIPE)] = None,
    ema: Annotated[
        float | None, typer.Option(help="Decay of averaged weights; 0 for none.", rich_help_panel=_RECIPE)
    ] = None,
    augment: Annotated[
        str | None, typer.Option(help="Augmentation: none, paper, moderate or strong.", rich_help_panel=_RECIPE)
    ] = None,
    drop_path: Annotated[
        float | None,
        typer.Option(min=0.0, max=0.9, help="Stochastic depth of the backbone.", rich_help_panel=_RECIPE),
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Training crops HxW, where not the model's.", rich_help_panel=_RECIPE)
    ] = None,
    seed: Annotated[int | None, typer.Option(rich_help_panel=_RECIPE)] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=_RUN)] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.", rich_help_panel=_RUN)] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.", rich_help_panel=_RUN)] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare batches.", rich_help_panel=_RUN)] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint in --out.", rich_help_panel=_RUN)
    ] = False,
    validate_every: Annotated[int, typer.Option(min=1, help="Steps.", rich_help_panel=_RUN)] = 1000,
    validate_on: Annotated[
        int, typer.Option(min=1, help="Examples of each validation source.", rich_help_panel=_RUN)
    ] = 500,
    save_minutes: Annotated[float, typer.Option(min=0.0, help="Between checkpoints.", rich_help_panel=_RUN)] = 5.0,
    log_every: Annotated[int, typer.Option(min=1, help="Steps between lines of the log.", rich_help_panel=_RUN)] = 50,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also log there (extra: log).", rich_help_panel=_RUN)
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", rich_help_panel=_RUN)] = False,
) -> None:
    """Train, with a checkpoint every few minutes and on interruption.

    Several GPUs: torchrun --nproc-per-node N -m ftpcli train ... Exit code: 0 done, 1 failed, 2 wrong usage,
    130 interrupted (go on with --resume).
    """
    from ftpcli.training.folder import claimed

    tell = _quiet if quiet else _tell
    if task == "detector":
        recipe_changes = _given(
            epochs=epochs,
            steps=steps,
            batch=batch,
            lr=lr,
            final_lr=final,
            ema=ema,
            seed=seed,
            image_size=_side("--image-size", image_size),
            first_size=_side("--size", size),
        )
        run: dict[str, Any] = {
            "weights": weights,
            "threads": threads,
            "workers": workers,
            "resume": resume,
            "checkpoint_minutes": save_minutes,
        }
        context.with_resource(claimed(out, resume=resume))
        _train_detector(data, val or [], out, device=device, tell=tell, **run, **recipe_changes)
        return
    if task != "pose":
        raise UsageError(f"--task {task}: choose pose or detector")

    import dataclasses

    from ftpcli.model.config import preset as named_preset
    from ftpcli.training.augment import augmentation as named_augmentation
    from ftpcli.training.recipe import recipe as named_recipe
    from ftpcli.weights import load_weights, weights_path

    if weights is not None:
        weights = weights_path(weights)
    like = load_weights(weights)[0] if weights is not None and preset is None else named_preset(preset or "tiny")
    config = like.replace(
        **_given(
            frames=frames,
            branches=branches,
            high_ratio=high_ratio,
            low_ratio=low_ratio,
            selector=selector,
            upsample=upsample,
            stem=stem,
            depth=depth,
            heatmap=heatmap,
            backbone=backbone,
            image_size=_size(image_size),
        )
    )
    named = named_recipe(recipe)
    chosen = dataclasses.replace(
        named,
        precision=precision,
        **_given(
            augmentation=None if augment is None else named_augmentation(augment, named.augmentation),
            drop_path=drop_path,
            epochs=epochs,
            steps=steps,
            batch=batch,
            accumulate=accumulate,
            lr=lr,
            backbone_lr=backbone_lr,
            stem_lr=stem_lr,
            key_gradient_only=key_gradient_only,
            warmup=warmup,
            schedule=schedule,
            final=final,
            ema=ema,
            size=_size(size),
            seed=seed,
        ),
    )
    context.with_resource(claimed(out, resume=resume))
    outcome = _train_pose(
        config,
        chosen,
        data,
        val or [],
        out,
        skip_missing=skip_missing,
        weights=weights,
        backbone_weights=backbone_weights,
        stem_weights=stem_weights,
        threads=threads,
        device=device,
        tell=tell,
        run={
            "average_with": [weights_path(path) for path in average_with or ()],
            "workers": workers,
            "resume": resume,
            "validate_every": validate_every,
            "validation_limit": validate_on,
            "save_minutes": save_minutes,
            "log_every": log_every,
            "tensorboard": tensorboard,
        },
    )
    if not outcome["finished"]:
        typer.echo(f"ftp: stopped at step {outcome['step']} of {outcome['steps']}; go on with --resume", err=True)
        raise typer.Exit(130)


def _train_pose(
    config: ModelConfig,
    recipe: Recipe,
    data: list[str],
    val: list[str],
    out: Path,
    *,
    skip_missing: bool,
    weights: Path | None,
    backbone_weights: str,
    stem_weights: Path | None,
    threads: int | None,
    device: str,
    tell: Any,
    run: dict[str, Any],
) -> dict[str, Any]:
    import torch

    from ftpcli.estimator import choose_device
    from ftpcli.skeleton import Skeleton
    from ftpcli.training import distributed
    from ftpcli.training.initialise import starting_state
    from ftpcli.training.loop import Run, train
    from ftpcli.training.sources import DataSpec, open_data
    from ftpcli.weights import sha256

    if threads:
        torch.set_num_threads(threads)
    chosen = str(choose_device(device))
    skeleton = Skeleton("model", config.joints)
    specs = [DataSpec.parse(text) for text in data]
    sources = [(open_data(spec, skeleton, "train", skip_missing=skip_missing), spec.weight) for spec in specs]
    validation = [open_data(DataSpec.parse(text), skeleton, "val", skip_missing=skip_missing) for text in val]
    state: dict[str, torch.Tensor] = {}
    provenance: dict[str, str] = {}
    backbone_file = None if backbone_weights in ("random", "pretrained") else Path(backbone_weights)
    if backbone_file is not None or stem_weights is not None:
        state = starting_state(config, backbone_file, stem_weights)
    if backbone_file is not None:
        provenance["backbone_weights"] = sha256(backbone_file)
    if stem_weights is not None:
        provenance["stem_weights"] = sha256(stem_weights)
    distributed.start(chosen)
    try:
        return train(
            Run(
                config,
                recipe,
                out,
                sources,
                validation,
                init=weights,
                start=state or None,
                pretrained=backbone_weights == "pretrained",
                provenance=provenance,
                device=chosen,
                **run,
            ),
            tell,
        )
    finally:
        distributed.stop()


def _train_detector(data: list[str], val: list[str], out: Path, *, device: str, tell: Any, **options: Any) -> None:
    from ftpcli.detector import train_detector
    from ftpcli.estimator import choose_device

    files: dict[str, tuple[Path, float]] = {}
    for text in data:
        name, equals, rest = text.partition("=")
        path, colon, weight = rest.rpartition(":")
        if not equals or not rest:
            raise UsageError(f"--data {text}: give NAME=boxes.json or NAME=boxes.json:WEIGHT")
        numeric = bool(colon) and weight.replace(".", "", 1).isdigit()
        files[name] = (Path(path), float(weight)) if numeric else (Path(rest), 1.0)
    checks = [Path(text.partition("=")[2] or text) for text in val]
    if len(checks) > 1:
        raise UsageError("--val: the detector is checked on one file")
    outcome = train_detector(files, checks[0] if checks else None, out, device=str(choose_device(device)), **options)
    tell({"event": "detector", **outcome})
    if outcome.get("interrupted"):
        raise typer.Exit(130)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _side(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdigit():
        raise UsageError(f"{option} {text}: the detector's pictures are square, as in 320")
    return int(text)


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    height, x, width = text.lower().partition("x")
    if not (x and height.isdigit() and width.isdigit()):
        raise UsageError(f"size {text}: give height x width, as in 256x192")
    return int(height), int(width)


def _tell(row: dict[str, Any]) -> None:
    if row.get("event") == "step":
        line = (
            f"step {row['step']}/{row['steps']}  loss {row['loss']:.4f}  {row['samples_per_second']:.0f} samples/s "
            f"(loader alone {row['loader_samples_per_second']:.0f})  {row['eta_seconds'] / 60:.0f} min left"
        )
    else:
        line = json.dumps(row)
    print(line, file=sys.stderr, flush=True)


def _quiet(row: dict[str, Any]) -> None:
    pass
