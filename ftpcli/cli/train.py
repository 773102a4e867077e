"""``ftp train``: trains the pose model on your data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from ftpcli.choices import DataKind
from ftpcli.cli.training_options import RecipeOptions, RunningOptions, given, grouped, size
from ftpcli.errors import UsageError
from ftpcli.model.choices import ADAPTIVE, Branches, Heatmap, Preset, Selector, Stem
from ftpcli.training.recipe import RECIPES, AugmentationName, Recipe, RecipeName, augmentation

if TYPE_CHECKING:
    from ftpcli.model.config import ModelConfig
    from ftpcli.training.sources import DataSpec


@dataclass(frozen=True)
class DataOptions:
    """What the model learns from and is measured on."""

    PANEL: ClassVar = "Data"
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            help=f"KIND=PATH[:WEIGHT], repeatable. Kinds: {', '.join(DataKind)}.",
        ),
    ]
    val: Annotated[
        list[str] | None, typer.Option("--val", help="KIND=PATH, repeatable: PCK is measured on its val split.")
    ] = None
    images: Annotated[Path | None, typer.Option(help="Folder of COCO files' pictures, where they lie elsewhere.")] = (
        None
    )
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Leave out persons whose picture is missing.")
    ] = False
    picture_cache: Annotated[
        float,
        typer.Option(min=0.0, max=1e6, help="GiB of memory for decoded pictures, over all --workers; 0 for none."),
    ] = 4.0
    validate_on: Annotated[int, typer.Option(min=1, help="Examples of each validation source.")] = 500

    def check(self) -> tuple[list[DataSpec], list[DataSpec]]:
        """What to train and to validate on, unread; raises InputError, UsageError."""
        from ftpcli.files.inputs import require
        from ftpcli.training.sources import DataSpec

        specs = [[DataSpec.parse(text) for text in texts] for texts in (self.data, self.val or ())]
        require(*(spec.path for part in specs for spec in part), self.images)
        return specs[0], specs[1]

    def sources(
        self, joints: tuple[str, ...], specs: list[DataSpec], validation: list[DataSpec], workers: int
    ) -> dict[str, Any]:
        """The fields of ``Run`` that these options are, of what ``check`` found; raises InputError, UsageError.

        Args:
            workers: processes besides this one, each of which will have its own decoded pictures.
        """
        from ftpcli.skeleton import Skeleton
        from ftpcli.training.sources import open_data
        from ftpcli.training.sources.common import PictureCache

        skeleton = Skeleton("model", joints)
        where: dict[str, Any] = {"skip_missing": self.skip_missing, "images": self.images}
        where["cache"] = PictureCache(int(self.picture_cache * 2**30 / (workers + 1)))
        return {
            "sources": [(open_data(spec, skeleton, "train", **where), spec.weight) for spec in specs],
            "validation": [open_data(spec, skeleton, "val", **where) for spec in validation],
            "validation_limit": self.validate_on,
        }


@dataclass(frozen=True)
class ModelOptions:
    """The model's configuration; None is what --weights or the preset has."""

    PANEL: ClassVar = "Model (defaults are those of --weights, else of the preset)"
    preset: Annotated[
        Preset | None, typer.Option(help="base is the paper's size. Without it: what --weights has, else tiny.")
    ] = None
    frames: Annotated[int | None, typer.Option(help="Frames of a window: 1, 3, 5.")] = None
    branches: Annotated[Branches | None, typer.Option(help="none: backbone and head; low: the baseline.")] = None
    high_ratio: Annotated[int | None, typer.Option(help="Pruning, high resolution.")] = None
    low_ratio: Annotated[int | None, typer.Option(help="Pruning, low resolution.")] = None
    keep_key: Annotated[bool | None, typer.Option(help="Low resolution: prune the neighbours alone.")] = None
    selector: Annotated[Selector | None, typer.Option(help="How pruning picks tokens.")] = None
    temperature: Annotated[
        str | None, typer.Option(help=f"tau of pruning: a number, or {ADAPTIVE} for each sample's own.")
    ] = None
    upsample: Annotated[int | None, typer.Option(help="Per side: 2 or 4.")] = None
    fine_maps: Annotated[
        bool | None, typer.Option(help="The high-resolution branch sees the movenet stem's finest map, too.")
    ] = None
    shared_blocks: Annotated[int | None, typer.Option(help="Blocks after pruning.")] = None
    stem: Annotated[Stem | None, typer.Option(help="First layers.")] = None
    depth: Annotated[int | None, typer.Option(help="Blocks of the backbone.")] = None
    heatmap: Annotated[Heatmap | None, typer.Option(help="What heatmaps are trained as.")] = None
    image_size: Annotated[str | None, typer.Option(help="Crop the model is for, HxW, as in 256x192.")] = None
    backbone: Annotated[str | None, typer.Option(help="A timm vit_*_patch16_* name.")] = None

    def config(self, weights: Path | None, recipe: RecipeName) -> ModelConfig:
        """The configuration; raises UsageError, and InputError where ``weights`` cannot be read.

        The temporal recipe puts an encoder on single-frame weights; the paper's trains squared error.
        """
        from ftpcli.model.config import PRESETS
        from ftpcli.pose.weights import load_weights

        like = PRESETS[self.preset or Preset.TINY] if weights is None or self.preset else load_weights(weights)[0]
        if recipe == RecipeName.TEMPORAL and like.branches == Branches.NONE:
            like = like.replace(frames=3, branches=Branches.BOTH)
        if recipe == RecipeName.PAPER:
            if self.heatmap == Heatmap.SOFTMAX:
                raise UsageError("--heatmap softmax: --recipe paper trains squared error; name another recipe")
            like = like.replace(heatmap=Heatmap.GAUSSIAN)
        changes = dataclasses.asdict(self) | {"preset": None, "image_size": size(self.image_size)}
        return like.replace(**given(**changes | {"temperature": _temperature(self.temperature)}))


def _temperature(text: str | None) -> float | str | None:
    try:
        return text if text in (None, ADAPTIVE) else float(text)
    except ValueError:
        raise UsageError(f"--temperature {text}: a number above 0, or {ADAPTIVE}") from None


@dataclass(frozen=True)
class StartOptions:
    """The weights that the model starts from, and those it is averaged with."""

    PANEL: ClassVar = "Starting weights"
    weights: Annotated[
        Path | None,
        typer.Option(help="Start from these: 'default' (bundled), or what --weights of ftp annotate takes."),
    ] = None
    backbone_weights: Annotated[
        str,
        typer.Option(
            help="random; pretrained (timm downloads them); or a file (timm, MAE, ViTPose, ours), also replacing "
            "the backbone of --weights."
        ),
    ] = "random"
    stem_weights: Annotated[
        Path | None,
        typer.Option(help="For --stem movenet: MoveNet Thunder's ONNX file (needs onnx)."),
    ] = None
    average_with: Annotated[
        list[Path] | None,
        typer.Option(help="Also write averaged.safetensors, the mean of the trained weights and of these; repeatable."),
    ] = None

    def _files(self) -> dict[str, Path | None]:
        from ftpcli.pose.weights import weights_path

        named = self.backbone_weights not in ("random", "pretrained")
        backbone = weights_path(self.backbone_weights) if named else None
        return {"backbone_weights": backbone, "stem_weights": self.stem_weights}

    def check(self) -> None:
        """Raises InputError where a named file is missing."""
        from ftpcli.files.inputs import require_file
        from ftpcli.pose.weights import weights_path

        require_file(*self._files().values(), *map(weights_path, self.average_with or ()))

    def structure(self, config: ModelConfig) -> ModelConfig:
        """The configuration, its backbone's structure that of --backbone-weights; raises InputError."""
        from ftpcli.training.initialise import structure_of

        path = self._files()["backbone_weights"]
        return config if path is None else structure_of(path, config)

    def fields(self, config: ModelConfig, weights: Path | None) -> dict[str, Any]:
        """The fields of ``Run`` that these options are."""
        from ftpcli.files.tensors import sha256
        from ftpcli.pose.weights import weights_path
        from ftpcli.training.initialise import starting_state

        files = self._files()
        state = starting_state(config, **files) if any(files.values()) else None
        provenance = {name: sha256(file) for name, file in files.items() if file is not None}
        return {
            "init": weights,
            "start": state,
            "pretrained": self.backbone_weights == "pretrained",
            "average_with": [weights_path(path) for path in self.average_with or ()],
            "provenance": provenance,
        }


@dataclass(frozen=True)
class PoseRecipeOptions:
    """Numbers of the pose model's recipe; None is what the recipe says."""

    PANEL: ClassVar = RecipeOptions.PANEL
    recipe: Annotated[RecipeName, typer.Option(help="Where the defaults come from.")] = RecipeName.PAPER
    augment: Annotated[AugmentationName | None, typer.Option(help="Augmentation.")] = None
    accumulate: Annotated[int | None, typer.Option(help="Parts a batch is done in.")] = None
    backbone_lr: Annotated[float | None, typer.Option(help="Of the backbone, relative to lr; 0 freezes it.")] = None
    stem_lr: Annotated[float | None, typer.Option(help="Of the movenet stem's trunk, relative to the backbone's.")] = (
        None
    )
    head_lr: Annotated[float | None, typer.Option(help="Of the head, relative to lr; 0 freezes it.")] = None
    key_gradient_only: Annotated[
        bool | None, typer.Option(help="The backbone learns from key frames alone: half the time a step.")
    ] = None
    token_cache: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="With --backbone-lr 0: GiB of memory for tokens; the windows that fit are repeated."
        ),
    ] = None
    drop_path: Annotated[float | None, typer.Option(help="Stochastic depth of the backbone.")] = None
    size: Annotated[str | None, typer.Option(help="Training crops HxW, where not the model's.")] = None

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
    sources: DataOptions,
    model: ModelOptions,
    start: StartOptions,
    special: PoseRecipeOptions,
    numbers: RecipeOptions,
    running: RunningOptions,
) -> None:
    """Train the pose model, with a checkpoint every few minutes and on interruption.

    Several GPUs: torchrun --nproc-per-node N -m ftpcli train ... Exit code: 0 done, 1 failed, 2 wrong usage,
    130 or 143 interrupted (go on with --resume).
    """
    from ftpcli.pose.weights import weights_path
    from ftpcli.training.folder import claimed

    # What takes no time is checked first, then files of weights are read, then data.
    specs = sources.check()
    recipe = special.chosen(numbers)
    weights = None if start.weights is None else weights_path(start.weights)
    start.check()
    context.with_resource(claimed(running.out, resume=running.resume))

    from ftpcli.training.pose_trainer import Run, train

    config = start.structure(model.config(weights, special.recipe))
    fields = running.prepare() | start.fields(config, weights)
    fields |= sources.sources(config.joints, *specs, fields["workers"])
    run = Run(config, recipe, running.out, **fields)
    running.carry_out(partial(train, run), run.device)
