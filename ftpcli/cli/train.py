"""``ftp train``: trains the pose model on your data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ftpcli.cli.training_options import RECIPE, RUN, RecipeOptions, RunningOptions, given, grouped, size
from ftpcli.model.choices import Branches, Heatmap, Preset, Selector, Stem
from ftpcli.training.recipe import RECIPES, AugmentationName, Recipe, RecipeName, augmentation

if TYPE_CHECKING:
    from ftpcli.model.config import ModelConfig

_DATA, _MODEL, _START = "Data", "Model (defaults are those of --weights, else of the preset)", "Starting weights"


@dataclass(frozen=True)
class ModelOptions:
    """The model's configuration; None is what --weights or the preset has."""

    preset: Annotated[
        Preset | None,
        typer.Option(
            help="base is the paper's size. Without it: what --weights has, else tiny.", rich_help_panel=_MODEL
        ),
    ] = None
    frames: Annotated[int | None, typer.Option(help="Frames of a window: 1, 3, 5.", rich_help_panel=_MODEL)] = None
    branches: Annotated[
        Branches | None,
        typer.Option(help="none: backbone and head; low: the paper's baseline.", rich_help_panel=_MODEL),
    ] = None
    high_ratio: Annotated[int | None, typer.Option(help="Pruning, high resolution.", rich_help_panel=_MODEL)] = None
    low_ratio: Annotated[int | None, typer.Option(help="Pruning, low resolution.", rich_help_panel=_MODEL)] = None
    selector: Annotated[Selector | None, typer.Option(help="How pruning picks tokens.", rich_help_panel=_MODEL)] = None
    upsample: Annotated[int | None, typer.Option(help="Per side: 2 or 4.", rich_help_panel=_MODEL)] = None
    stem: Annotated[Stem | None, typer.Option(help="First layers.", rich_help_panel=_MODEL)] = None
    depth: Annotated[int | None, typer.Option(help="Blocks of the backbone.", rich_help_panel=_MODEL)] = None
    heatmap: Annotated[Heatmap | None, typer.Option(help="What heatmaps are trained as.", rich_help_panel=_MODEL)] = (
        None
    )
    image_size: Annotated[
        str | None, typer.Option(help="Crop the model is for, HxW, as in 256x192.", rich_help_panel=_MODEL)
    ] = None
    backbone: Annotated[str | None, typer.Option(help="A timm vit_*_patch16_* name.", rich_help_panel=_MODEL)] = None

    def config(self, weights: Path | None) -> ModelConfig:
        """The configuration; raises UsageError, and InputError where ``weights`` cannot be read."""
        from ftpcli.model.config import PRESETS
        from ftpcli.pose.weights import load_weights

        like = PRESETS[self.preset or Preset.TINY] if weights is None or self.preset else load_weights(weights)[0]
        changes = dataclasses.asdict(self) | {"preset": None, "image_size": size(self.image_size)}
        return like.replace(**given(**changes))


@dataclass(frozen=True)
class StartOptions:
    """The weights that the model starts from, and those it is averaged with."""

    weights: Annotated[
        Path | None,
        typer.Option(help="Start from weights of ftp train; 'default' is the bundled file.", rich_help_panel=_START),
    ] = None
    backbone_weights: Annotated[
        str,
        typer.Option(
            help="random; pretrained (timm downloads them); or a file (timm, MAE, ViTPose, ours), also replacing "
            "the backbone of --weights.",
            rich_help_panel=_START,
        ),
    ] = "random"
    stem_weights: Annotated[
        Path | None,
        typer.Option(
            help="A file of EfficientNet-Lite0's (timm or EfficientNet-PyTorch), for --stem efficientnet.",
            rich_help_panel=_START,
        ),
    ] = None
    average_with: Annotated[
        list[Path] | None,
        typer.Option(
            help="Also write averaged.safetensors, the mean of the trained weights and of these; repeatable.",
            rich_help_panel=_START,
        ),
    ] = None

    def fields(self, config: ModelConfig, weights: Path | None) -> dict[str, Any]:
        """The fields of ``Run`` that these options are."""
        from ftpcli.files.tensors import sha256
        from ftpcli.model.backbone import Backbone
        from ftpcli.pose.weights import weights_path
        from ftpcli.training.initialise import backbone_state, stem_state

        state: dict[str, Any] = {}
        provenance: dict[str, str] = {}
        from_file = self.backbone_weights not in ("random", "pretrained")
        if from_file or self.stem_weights is not None:
            own = Backbone(config.backbone, config.image_size, config.stem, depth=config.depth)
            if from_file:
                state |= backbone_state(Path(self.backbone_weights), own)
                provenance["backbone_weights"] = sha256(Path(self.backbone_weights))
            if self.stem_weights is not None:
                state |= stem_state(self.stem_weights, own)
                provenance["stem_weights"] = sha256(self.stem_weights)
        return {
            "init": weights,
            "backbone": state or None,
            "pretrained": self.backbone_weights == "pretrained",
            "average_with": [weights_path(path) for path in self.average_with or ()],
            "provenance": provenance,
        }


@dataclass(frozen=True)
class PoseRecipeOptions:
    """Numbers of the pose model's recipe; None is what the recipe says."""

    recipe: Annotated[RecipeName, typer.Option(help="Where the defaults come from.", rich_help_panel=RECIPE)] = (
        RecipeName.PAPER
    )
    augment: Annotated[AugmentationName | None, typer.Option(help="Augmentation.", rich_help_panel=RECIPE)] = None
    accumulate: Annotated[int | None, typer.Option(min=1, help="Parts a batch is done in.", rich_help_panel=RECIPE)] = (
        None
    )
    backbone_lr: Annotated[
        float | None, typer.Option(help="Of the backbone, relative to lr; 0 freezes it.", rich_help_panel=RECIPE)
    ] = None
    key_gradient_only: Annotated[
        bool | None,
        typer.Option(help="The backbone learns from key frames alone: half the time a step.", rich_help_panel=RECIPE),
    ] = None
    drop_path: Annotated[
        float | None,
        typer.Option(min=0.0, max=0.9, help="Stochastic depth of the backbone.", rich_help_panel=RECIPE),
    ] = None
    size: Annotated[
        str | None, typer.Option(help="Training crops HxW, where not the model's.", rich_help_panel=RECIPE)
    ] = None

    def chosen(self, numbers: RecipeOptions) -> Recipe:
        """The recipe with what was changed."""
        named = RECIPES[self.recipe]
        changes = dataclasses.asdict(self) | {"recipe": None, "augment": None, "size": size(self.size)}
        if self.augment is not None:
            changes["augmentation"] = augmentation(self.augment, named.augmentation)
        return dataclasses.replace(named, **numbers.changes(), **given(**changes))


@grouped
def command(
    context: typer.Context,
    *,
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            help="KIND=PATH[:WEIGHT], repeatable. Kinds: coco, clips, posetrack17, posetrack18, posetrack21, poses.",
            rich_help_panel=_DATA,
        ),
    ],
    val: Annotated[
        list[str] | None,
        typer.Option("--val", help="KIND=PATH, repeatable: PCK is measured on its val split.", rich_help_panel=_DATA),
    ] = None,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Leave out persons whose picture is missing.", rich_help_panel=_DATA)
    ] = False,
    model: ModelOptions,
    start: StartOptions,
    special: PoseRecipeOptions,
    numbers: RecipeOptions,
    running: RunningOptions,
    validate_on: Annotated[
        int, typer.Option(min=1, help="Examples of each validation source.", rich_help_panel=RUN)
    ] = 500,
) -> None:
    """Train the pose model, with a checkpoint every few minutes and on interruption.

    Several GPUs: torchrun --nproc-per-node N -m ftpcli train ... Exit code: 0 done, 1 failed, 2 wrong usage,
    130 interrupted (go on with --resume).
    """
    from ftpcli.pose.weights import weights_path
    from ftpcli.training.folder import claimed

    weights = None if start.weights is None else weights_path(start.weights)
    config, recipe = model.config(weights), special.chosen(numbers)
    context.with_resource(claimed(running.out, resume=running.resume))

    from ftpcli.skeleton import Skeleton
    from ftpcli.training.pose_trainer import Run, train
    from ftpcli.training.sources import DataSpec, open_data

    options = running.prepare()
    skeleton = Skeleton("model", config.joints)
    specs = [DataSpec.parse(text) for text in data]
    run = Run(
        config,
        recipe,
        running.out,
        [(open_data(spec, skeleton, "train", skip_missing=skip_missing), spec.weight) for spec in specs],
        [open_data(DataSpec.parse(text), skeleton, "val", skip_missing=skip_missing) for text in val or ()],
        validation_limit=validate_on,
        **start.fields(config, weights),
        **options,
    )
    running.carry_out(lambda tell: train(run, tell), run.device)
