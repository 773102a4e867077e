"""Training: loss, augmentation, sources, resuming bit by bit, refusals."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ftpcli.crops import MEAN, STD
from ftpcli.errors import FtpError, InputError, UsageError
from ftpcli.model.config import ModelConfig
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.muon import Float32Muon
from ftpcli.skeleton import PERSON19
from ftpcli.training.augment import MODERATE, Augmentation, Example, augmentation, make_window, motion_kernel
from ftpcli.training.batches import Batch, Mixture, training_batches
from ftpcli.training.initialise import backbone_state, stem_state
from ftpcli.training.loop import DivergedError, Run, train
from ftpcli.training.losses import heatmap_loss
from ftpcli.training.optimiser import Average, build_optimisers, rate
from ftpcli.training.recipe import RECIPES, Recipe, recipe
from ftpcli.training.runtime import set_drop_path
from ftpcli.training.sources import Clips, CocoKeypoints, DataSpec, Poses, open_data
from ftpcli.weights import load_weights, sha256
from tests.training_data import make_clips, make_coco

CONFIG = ModelConfig(
    backbone="vit_tiny_patch16_224", image_size=(64, 48), width=64, shared_blocks=1, head_width=16, heatmap="softmax"
)
SIZE = (128, 96)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> CocoKeypoints:
    return CocoKeypoints(make_coco(tmp_path_factory.mktemp("coco")), PERSON19)


def quick(**changes: object) -> Recipe:
    return dataclasses.replace(recipe("scratch"), steps=20, batch=4, warmup=2, precision="fp32", **changes)


# Loss -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("heatmap", ["gaussian", "softmax"])
def test_unlabelled_joints_teach_nothing(heatmap: str) -> None:
    config = CONFIG.replace(heatmap=heatmap)
    maps = torch.randn(2, 19, 16, 12, requires_grad=True)
    joints = torch.rand(2, 19, 2) * 40
    weight = torch.ones(2, 19)
    weight[0, 3] = 0
    heatmap_loss(maps, joints, weight, config, 2.0, 20.0).backward()
    assert maps.grad is not None
    assert not maps.grad[0, 3].any()
    assert maps.grad[0, 4].any() and maps.grad[1, 3].any()


def test_squared_error_is_equation_4() -> None:
    from ftpcli.model.heatmap import gaussian_targets

    joints = torch.rand(3, 19, 2) * 40
    maps = torch.randn(3, 19, 16, 12)
    target = gaussian_targets(joints, (16, 12))
    loss = heatmap_loss(maps, joints, torch.ones(3, 19), CONFIG.replace(heatmap="gaussian"), 2.0, 0.0)
    torch.testing.assert_close(loss, (maps - target).square().mean())


def test_no_labelled_joint_is_no_loss_and_no_nan() -> None:
    loss = heatmap_loss(torch.randn(1, 19, 16, 12), torch.zeros(1, 19, 2), torch.zeros(1, 19), CONFIG, 2.0, 0.0)
    assert loss.item() == 0


# Augmentation -----------------------------------------------------------------------------------------------------


def marked(joint: int, at: tuple[int, int]) -> Example:
    """A picture with a white dot where one joint is."""
    image = np.zeros((200, 160, 3), np.uint8)
    image[at[1] - 2 : at[1] + 3, at[0] - 2 : at[0] + 3] = 255
    joints, weight = np.zeros((19, 2)), np.zeros(19)
    joints[joint], weight[joint] = at, 1
    return Example([image], np.array([30.0, 30, 130, 170]), joints, weight)


def test_labels_follow_the_picture_through_every_geometry() -> None:
    left = PERSON19.joints.index("left_wrist")
    right = PERSON19.joints.index("right_wrist")
    how = dataclasses.replace(Augmentation.none(), flip=0.5, scale=0.3, rotate=0.8, rotation=40, shift=0.05)
    flips = 0
    for seed in range(40):
        example = marked(left, (70, 90))
        crops, joints, weight = make_window(example, SIZE, 1, how, np.random.default_rng(seed))
        joint = left if weight[left] else right
        flips += joint == right
        assert weight.sum() == 1
        bright = crops[0, ..., 0].astype(float)
        rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
        centre = np.array([(bright * columns).sum(), (bright * rows).sum()]) / bright.sum()
        assert np.abs(centre - joints[joint]).max() < 0.6
        assert example.weight[left] == 1 and not example.weight[right]  # the source's own record is untouched
    assert 8 < flips < 32


def test_a_still_becomes_a_moving_window_whose_key_frame_is_labelled() -> None:
    example = marked(0, (80, 100))
    how = dataclasses.replace(Augmentation.none(), motion=0.1)
    crops, joints, _ = make_window(example, SIZE, 3, how, np.random.default_rng(4))
    assert not np.array_equal(crops[0], crops[1]) and not np.array_equal(crops[1], crops[2])
    y, x = np.argwhere(crops[1][..., 0] > 128).mean(axis=0)
    assert abs(x - joints[0, 0]) < 0.6 and abs(y - joints[0, 1]) < 0.6
    plain, _, _ = make_window(example, SIZE, 3, Augmentation.none(), np.random.default_rng(4))
    assert np.array_equal(plain[0], plain[2])


def test_joints_outside_the_crop_weigh_nothing() -> None:
    example = marked(5, (80, 100))
    example.joints[6], example.weight[6] = (-200.0, 50.0), 1.0
    _, _, weight = make_window(example, SIZE, 1, Augmentation.none(), np.random.default_rng(0))
    assert weight[5] == 1 and weight[6] == 0


def test_a_cut_picture_ends_within_the_person_and_the_box_with_it(people: CocoKeypoints) -> None:
    """What is beyond the edge is black and not taught; what is left lies where it did."""
    how = dataclasses.replace(Augmentation.none(), cut=1.0)
    cut_joints = 0
    for seed in range(40):
        example = people.example(seed % 12, 1)
        crops, joints, weight = make_window(example, SIZE, 1, how, np.random.default_rng(seed))
        _, _, before = make_window(example, SIZE, 1, Augmentation.none(), np.random.default_rng(seed))
        taught = weight > 0
        assert taught.sum() >= 4 and (before[taught] > 0).all()
        lines = np.rint(joints[taught]).astype(int)
        assert crops[0][lines[:, 1], lines[:, 0]].any(axis=1).all()  # a picture is nowhere black
        cut_joints += int((before > 0).sum() - taught.sum())
        assert example.images[0].shape == (200, 160, 3)  # the source's own stays as it is
    assert cut_joints > 60


def test_strong_augmentation_keeps_shape_and_is_a_function_of_the_seed(people: CocoKeypoints) -> None:
    for seed in range(30):
        a = make_window(people.example(seed % 12, 3), SIZE, 3, MODERATE, np.random.default_rng(seed))
        b = make_window(people.example(seed % 12, 3), SIZE, 3, MODERATE, np.random.default_rng(seed))
        assert a[0].shape == (3, *SIZE, 3) and a[0].dtype == np.uint8
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_damage_to_the_key_frame_leaves_its_neighbours_alone(people: CocoKeypoints) -> None:
    how = dataclasses.replace(Augmentation.none(), key_damage=1.0)
    for seed in range(20):
        example = people.example(seed % 12, 3)
        sound, _, _ = make_window(example, SIZE, 3, Augmentation.none(), np.random.default_rng(seed))
        hurt, _, _ = make_window(example, SIZE, 3, how, np.random.default_rng(seed))
        assert np.array_equal(hurt[[0, 2]], sound[[0, 2]]) and not np.array_equal(hurt[1], sound[1])


def test_motion_kernel_sums_to_one() -> None:
    for angle in (0, 30, 90, 179):
        kernel = motion_kernel(angle, 9)
        assert kernel.sum() == pytest.approx(1) and np.count_nonzero(kernel) >= 7


# Sources ----------------------------------------------------------------------------------------------------------


def test_coco_joints_by_name_and_unlabelled_masked(people: CocoKeypoints) -> None:
    example = people.example(0, 1)
    assert len(people) == 12 and set(people.groups) == {"drawn"}
    assert example.weight[PERSON19.joints.index("left_wrist")] == 1
    assert example.weight[PERSON19.joints.index("left_ear")] == 0
    # A figure that faces the camera has its left on the picture's right.
    assert example.joints[5, 0] > example.joints[6, 0]


def test_coco_bad_input(tmp_path: Path) -> None:
    path = make_coco(tmp_path, 3)
    good = json.loads(path.read_text())

    def broken(**changes: object) -> Path:
        path.write_text(json.dumps(good | changes))
        return path

    with pytest.raises(InputError, match="tail"):
        CocoKeypoints(broken(categories=[{"keypoints": ["tail", *PERSON19.joints[1:]]}]), PERSON19)
    with pytest.raises(InputError, match="no labelled person"):
        CocoKeypoints(broken(annotations=[a | {"bbox": [0, 0, 0, 5]} for a in good["annotations"]]), PERSON19)
    with pytest.raises(InputError, match="not a COCO-keypoints file"):
        CocoKeypoints(broken(images=3), PERSON19)
    path.write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        CocoKeypoints(path, PERSON19)
    (tmp_path / "images" / "001.png").unlink()
    path.write_text(json.dumps(good))
    with pytest.raises(InputError, match=r"1 pictures are missing, first .*001\.png"):
        CocoKeypoints(path, PERSON19)
    kept = CocoKeypoints(path, PERSON19, skip_missing=True)
    assert len(kept) == 2 and kept.missing == 1


def test_clips_give_true_neighbours_and_the_key_frame_at_the_ends(tmp_path: Path) -> None:
    clips = Clips(make_clips(tmp_path), PERSON19)
    assert len(clips) == 5
    first, middle = clips.example(0, 3), clips.example(2, 3)
    assert np.array_equal(first.images[0], first.images[1])
    assert not np.array_equal(middle.images[0], middle.images[1])
    assert not np.array_equal(middle.images[1], middle.images[2])
    wrist = PERSON19.joints.index("left_wrist")
    assert middle.joints[wrist, 0] - first.joints[wrist, 0] == pytest.approx(4)
    with pytest.raises(InputError, match="no clip in split"):
        Clips(tmp_path, PERSON19, "test")


def test_an_exported_annotation_is_training_data(tmp_path: Path) -> None:
    from ftpcli.formats import write_poses
    from ftpcli.records import FramePoses, Header, Pose

    folder = make_clips(tmp_path / "clips", clips=1)
    (tmp_path / "0.mp4").write_bytes((folder / "0.mp4").read_bytes())
    clip = Clips(folder, PERSON19).example(2, 1)
    pose = Pose(1, clip.box, 0.9, clip.joints, clip.weight * 0.8)
    frames = [FramePoses(i, i, i / 25, (pose,) if i == 2 else ()) for i in range(5)]
    source = {"name": "0.mp4", "width": 160, "height": 200, "rotation": 0, "time_base": "1/25"}
    for name in ("poses.jsonl", "poses.json"):
        write_poses(tmp_path / name, Header(PERSON19.joints, source, {}), frames)
        poses = open_data(DataSpec.parse(f"poses={tmp_path / name}"), PERSON19, "train")
        assert isinstance(poses, Poses) and len(poses) == 1
        example = poses.example(0, 3)
        shoulder = PERSON19.joints.index("left_shoulder")
        np.testing.assert_allclose(example.joints[shoulder], clip.joints[shoulder], atol=0.01)
        assert len(example.images) == 3 and not np.array_equal(example.images[0], example.images[1])
    (tmp_path / "0.mp4").unlink()
    with pytest.raises(InputError, match=r"video 0\.mp4 is not beside it"):
        Poses(tmp_path / "poses.jsonl", PERSON19)


def test_data_specification() -> None:
    assert DataSpec.parse("coco=a/b.json:0.5") == DataSpec("coco", Path("a/b.json"), 0.5)
    assert DataSpec.parse("clips=C:/x") == DataSpec("clips", Path("C:/x"), 1.0)
    for text in ("coco", "coco=", "tigers=a", "coco=a:0", "coco=a:-1"):
        with pytest.raises(UsageError):
            DataSpec.parse(text)


# Order ------------------------------------------------------------------------------------------------------------


def test_weights_say_how_often_a_source_is_passed(people: CocoKeypoints) -> None:
    mixture = Mixture([(people, 1.0), (people, 0.5), (people, 2.0)], seed=1)
    assert len(mixture) == 12 + 6 + 24
    order = mixture.order(0)
    assert sorted(i for s, i in order if s == 0) == list(range(12))
    assert sorted(i for s, i in order if s == 2) == sorted([*range(12), *range(12)])
    halves = [i for s, i in order if s == 1] + [i for s, i in mixture.order(1) if s == 1]
    assert sorted(halves) == list(range(12))  # the second epoch goes on where the first ended
    assert mixture.order(0) == order and mixture.order(1) != order


def test_batches_do_not_depend_on_workers_or_on_where_one_starts(people: CocoKeypoints) -> None:
    def batches(**changes: int) -> list:
        options = {"first": 0, "steps": 4, "workers": 0, "rank": 0, "world": 1} | changes
        mixture = Mixture([(people, 1.0)], seed=3)
        return list(
            training_batches(mixture, size=(64, 48), frames=1, augmentation=MODERATE, batch=4, seed=3, **options)
        )

    whole = batches()
    assert len(whole) == 4
    torch.testing.assert_close(batches(first=2)[0].crops, whole[2].crops, rtol=0, atol=0)
    torch.testing.assert_close(batches(workers=1, steps=2)[1].crops, whole[1].crops, rtol=0, atol=0)
    halves = [batches(rank=rank, world=2)[1].crops for rank in (0, 1)]
    torch.testing.assert_close(torch.cat(halves), whole[1].crops, rtol=0, atol=0)


def test_windows_are_normalised_by_imagenet_s_mean_and_deviation() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 6, 3), dtype=np.uint8)
    batch = Batch(torch.from_numpy(crops), torch.zeros(2, 19, 2), torch.zeros(2, 19))
    wanted = np.moveaxis((crops.astype(np.float32) / 255 - MEAN) / STD, -1, -3)
    torch.testing.assert_close(batch.windows(torch.device("cpu")), torch.from_numpy(wanted), rtol=0, atol=0)


def test_blurred_frames_of_a_window_are_each_blurred_in_their_own_way(people: CocoKeypoints) -> None:
    how = dataclasses.replace(Augmentation.none(), blur=1.0)
    example, two = people.example(0, 3), 0
    for seed in range(20):
        plain, _, _ = make_window(example, (192, 144), 3, Augmentation.none(), np.random.default_rng(seed))
        crops, _, _ = make_window(example, (192, 144), 3, how, np.random.default_rng(seed))
        blurred = [crop for crop, sharp in zip(crops, plain, strict=True) if not np.array_equal(crop, sharp)]
        assert blurred
        two += len(blurred) >= 2 and not np.array_equal(blurred[0], blurred[1])
    assert two >= 8  # 13 of 20 are expected to have two blurred frames or more


def test_turned_people_stand_at_any_angle(people: CocoKeypoints) -> None:
    how = dataclasses.replace(Augmentation.none(), turn=1.0)
    example, angles = people.example(0, 1), []
    top, ankle = PERSON19.joints.index("head_top"), PERSON19.joints.index("left_ankle")
    for seed in range(40):
        _, joints, _ = make_window(example, (192, 144), 1, how, np.random.default_rng(seed))
        x, y = joints[top] - joints[ankle]
        angles.append(np.arctan2(y, x))
    assert np.histogram(angles, 4, (-np.pi, np.pi))[0].min() >= 4  # every quarter of the circle


# Optimiser --------------------------------------------------------------------------------------------------------


def test_layer_wise_rates_and_frozen_backbone() -> None:
    model = FTPPose(CONFIG)
    groups = build_optimisers(model, RECIPES["paper"])[0].param_groups
    scales = sorted({group["scale"] for group in groups})
    assert scales[-1] == 1.0 and scales[0] == pytest.approx(0.1 * 0.75**12) and len(scales) == 14
    assert sum(p.numel() for g in groups for p in g["params"]) == sum(p.numel() for p in model.parameters())
    frozen = dataclasses.replace(RECIPES["paper"], backbone_lr=0.0)
    build_optimisers(model, frozen)
    assert not any(p.requires_grad for p in model.backbone.parameters())
    assert all(p.requires_grad for p in model.head.parameters())


def test_muon_takes_the_blocks_matrices_only() -> None:
    model = FTPPose(CONFIG)
    muon, adamw = build_optimisers(model, dataclasses.replace(RECIPES["scratch"], optimiser="muon"))
    assert all(p.ndim == 2 for group in muon.param_groups for p in group["params"])
    counted = sum(len(g["params"]) for o in (muon, adamw) for g in o.param_groups)
    assert counted == len(list(model.parameters()))


def test_muon_moves_kernels_through_their_matrices() -> None:
    model = FTPPose(CONFIG.replace(branches="none", frames=1, stem="residual")).to(memory_format=torch.channels_last)
    muon = build_optimisers(model, RECIPES["scratch"])[0]
    places = {p.data_ptr(): p for group in muon.param_groups for p in group["params"]}
    kernels = [p for p in model.parameters() if p.ndim == 4 and p.data_ptr() in places]
    assert len(kernels) > 10 and all(k.shape[1] > 3 for k in kernels)
    before = [kernel.detach().clone() for kernel in kernels]
    model(torch.randn(2, 1, 3, 64, 48)).square().mean().backward()
    for kernel in kernels:
        matrix = places[kernel.data_ptr()].grad
        assert kernel.grad is not None and matrix is not None
        assert torch.equal(matrix.view(len(kernel), 3, 3, -1).permute(0, 3, 1, 2), kernel.grad)
    muon.step()
    # Orthogonalised steps are of one size whatever the gradient's: rate * 0.2 a weight, root mean square.
    for kernel, was in zip(kernels, before, strict=True):
        step = (kernel.detach() - was).square().mean().sqrt().item() / RECIPES["scratch"].lr
        assert 0.05 < step < 0.5


def test_muon_in_float32_is_torchs_but_for_the_rounding() -> None:
    torch.manual_seed(3)
    start = [torch.randn(24, 40), torch.randn(48, 16)]
    moved = []
    for kind in (torch.optim.Muon, Float32Muon):
        matrices = [torch.nn.Parameter(matrix.clone()) for matrix in start]
        optimiser = kind(matrices, lr=0.05, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
        generator = torch.Generator().manual_seed(4)
        for _ in range(4):
            for matrix in matrices:
                matrix.grad = torch.randn(matrix.shape, generator=generator)
            optimiser.step()
        moved.append([matrix.detach() - was for matrix, was in zip(matrices, start, strict=True)])
        assert all(set(optimiser.state[matrix]) == {"momentum_buffer"} for matrix in matrices)
    for torchs, ours in zip(*moved, strict=True):
        assert (torchs - ours).norm() < 0.03 * torchs.norm()


@pytest.mark.parametrize("emulated", [False, True])
def test_muon_is_taken_in_float32_where_bf16_would_be_emulated(monkeypatch: pytest.MonkeyPatch, emulated: bool) -> None:
    monkeypatch.setattr("ftpcli.muon.choose_precision", lambda *_: "fp32" if emulated else "bf16")
    model = FTPPose(CONFIG.replace(depth=1))
    assert isinstance(build_optimisers(model, RECIPES["scratch"])[0], Float32Muon) == emulated


def test_schedules() -> None:
    paper = dataclasses.replace(RECIPES["paper"], warmup=10)
    assert rate(0, 100, paper) == pytest.approx(0.1) and rate(79, 100, paper) == 1
    assert rate(80, 100, paper) == pytest.approx(0.1)
    cosine = dataclasses.replace(RECIPES["scratch"], warmup=0, final=0.2)
    assert rate(0, 100, cosine) == 1 and rate(100, 100, cosine) == pytest.approx(0.2)


def test_average_follows() -> None:
    model = torch.nn.Linear(2, 2)
    average = Average(model, 0.9)
    before = average.state["weight"].clone()
    with torch.no_grad():
        model.weight += 1
    average.update(model, 10**6)
    torch.testing.assert_close(average.state["weight"], before + 0.1)


# The loop ---------------------------------------------------------------------------------------------------------


def state_of(folder: Path) -> dict:
    return torch.load(folder / "checkpoint.pt", weights_only=True)


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_ten_steps_a_stop_and_ten_steps_are_twenty_steps(people: CocoKeypoints, tmp_path: Path, optimiser: str) -> None:
    def run(folder: str, **changes: object) -> Run:
        options = {"save_minutes": 1e9, **changes}
        config = CONFIG.replace(stem="residual", depth=2)
        chosen = quick(optimiser=optimiser, drop_path=0.5)  # so that torch's random numbers matter, too
        return Run(config, chosen, tmp_path / folder, [(people, 1.0)], [people], **options)

    whole = train(run("whole", validate_every=10))
    assert whole["finished"] and whole["step"] == 20
    stopped = train(run("halves", stop_at=10, validate_every=10))
    assert not stopped["finished"] and stopped["step"] == 10
    again = train(run("halves", resume=True, validate_every=10))
    assert again["finished"]
    a, b = state_of(tmp_path / "whole"), state_of(tmp_path / "halves")
    for part in ("model", "average"):
        other = {name: (value - b[part][name]).abs().max() for name, value in a[part].items()}
        assert not {name: float(most) for name, most in other.items() if most}, part
    assert a["best"] == b["best"]
    assert (tmp_path / "whole/last.safetensors").read_bytes() == (tmp_path / "halves/last.safetensors").read_bytes()
    rows = [json.loads(line) for line in (tmp_path / "whole/log.jsonl").read_text().splitlines()]
    step = next(row for row in rows if row["event"] == "step")
    assert step["samples_per_second"] > 0 and step["loader_samples_per_second"] > 0


def test_stochastic_depth_is_for_training_alone(people: CocoKeypoints, tmp_path: Path) -> None:
    config = CONFIG.replace(branches="none", frames=1, depth=3)
    losses = {}
    for share in (0.0, 0.9):
        rows: list[dict] = []
        chosen = dataclasses.replace(quick(drop_path=share), steps=3, lr=0.0, ema=0.0)
        train(Run(config, chosen, tmp_path / f"{share}", [(people, 1.0)], log_every=1), rows.append)
        losses[share] = [row["loss"] for row in rows if row["event"] == "step"]
    assert losses[0.0] != losses[0.9]
    model = FTPPose(config)
    set_drop_path(model.backbone, 0.9)
    assert [round(float(block.drop_path1.drop_prob), 2) for block in model.backbone.vit.blocks] == [0.0, 0.45, 0.9]
    images = torch.rand(2, 3, 64, 48)
    model.train()
    assert not torch.equal(model.encode(images), model.encode(images))
    model.eval()
    assert torch.equal(model.encode(images), model.encode(images))
    _, kept, header = load_weights(tmp_path / "0.9/last.safetensors")
    assert header["recipe"]["drop_path"] == 0.9 and kept.keys() == model.state_dict().keys()


def test_named_augmentations_keep_the_recipe_s_own_damage() -> None:
    chosen = augmentation("strong", RECIPES["temporal"].augmentation)
    assert chosen.key_damage == 0.5 and chosen.rotation > MODERATE.rotation and chosen.occlude > MODERATE.occlude
    assert augmentation("none", Augmentation.none()) == Augmentation.none()
    assert augmentation("moderate", MODERATE) == MODERATE
    with pytest.raises(UsageError, match=r"unknown augmentation 'wild'.*strong"):
        augmentation("wild", MODERATE)


def test_it_learns_and_the_best_weights_annotate(people: CocoKeypoints, tmp_path: Path) -> None:
    config = CONFIG.replace(branches="none", frames=1, stem="residual")
    chosen = dataclasses.replace(
        quick(optimiser="adamw"), steps=110, batch=8, lr=2e-3, ema=0.9, augmentation=Augmentation.none()
    )
    rows: list[dict] = []
    outcome = train(Run(config, chosen, tmp_path, [(people, 1.0)], [people], log_every=10), rows.append)
    losses = [row["loss"] for row in rows if row["event"] == "step"]
    # Between a flat map (log of 192 cells, 5.26) and the target's own entropy (about 4.2) there is little room.
    assert losses[0] < 5.26 and losses[-1] < 4.45
    assert outcome["best"] > 0.5

    from ftpcli.estimator import Estimator

    estimator = Estimator.load(tmp_path / "best.safetensors", device="cpu", precision="fp32")
    assert estimator.window == 1 and estimator.joints == PERSON19.joints


def test_the_temporal_recipe_leaves_the_backbone_alone(people: CocoKeypoints, tmp_path: Path) -> None:
    config = CONFIG.replace(stem="residual")
    single = dataclasses.replace(quick(), steps=1)
    train(Run(config.replace(branches="none", frames=1), single, tmp_path / "single", [(people, 1.0)]))
    chosen = dataclasses.replace(RECIPES["temporal"], steps=3, batch=4, warmup=0, precision="fp32")
    init = tmp_path / "single/last.safetensors"
    train(Run(config, chosen, tmp_path / "windows", [(people, 1.0)], init=init))
    before, after = state_of(tmp_path / "single")["average"], state_of(tmp_path / "windows")["model"]
    backbone = [name for name in before if name.startswith("backbone.")]
    assert backbone and all(torch.equal(before[name].half().float(), after[name]) for name in backbone)
    assert any(after[name].any() for name in after if name.startswith("encoder.") and "mlp.fc2.weight" in name)


def test_a_new_backbone_goes_under_an_old_encoder(people: CocoKeypoints, tmp_path: Path) -> None:
    config = CONFIG.replace(stem="residual", depth=2)
    for name, seed, changes in (("whole", 1, {}), ("single", 2, {"branches": "none", "frames": 1})):
        chosen = dataclasses.replace(quick(seed=seed), steps=1)
        train(Run(config.replace(**changes), chosen, tmp_path / name, [(people, 1.0)]))
    whole, single = (load_weights(tmp_path / name / "last.safetensors")[1] for name in ("whole", "single"))
    state = backbone_state(tmp_path / "single/last.safetensors", FTPPose(config).backbone)
    chosen = dataclasses.replace(RECIPES["temporal"], steps=1, batch=4, lr=0.0, precision="fp32")
    init = tmp_path / "whole/last.safetensors"
    rows: list[dict] = []
    start = {f"backbone.vit.{name}": value for name, value in state.items()}
    train(Run(config, chosen, tmp_path / "both", [(people, 1.0)], init=init, start=start), rows.append)
    both = load_weights(tmp_path / "both/last.safetensors")[1]
    weights = [n for n in both if "running" not in n and "num_batches" not in n]  # the head's norms go on counting
    assert all(torch.equal(both[n], single[n] if n.startswith("backbone.") else whole[n]) for n in weights)
    assert any(not torch.equal(single[n], whole[n]) for n in weights if n.startswith("backbone."))
    assert [row["event"] for row in rows][:2] == ["init", "backbone"]


def test_averaged_with_other_weights_at_the_end(people: CocoKeypoints, tmp_path: Path) -> None:
    config = CONFIG.replace(branches="none", frames=1, depth=2)
    one = Run(config, dataclasses.replace(quick(), steps=2), tmp_path / "one", [(people, 1.0)])
    train(one)
    other = dataclasses.replace(one, recipe=dataclasses.replace(quick(seed=5), steps=2), out=tmp_path / "other")
    train(other)
    given = [run.out / "last.safetensors" for run in (one, other)]
    two = dataclasses.replace(
        one, recipe=dataclasses.replace(quick(seed=9), steps=3), out=tmp_path / "two", average_with=given
    )
    rows: list[dict] = []
    train(dataclasses.replace(two, validation=[people]), rows.append)
    states = [load_weights(path)[1] for path in (*given, tmp_path / "two/last.safetensors")]
    _, averaged, provenance = load_weights(tmp_path / "two/averaged.safetensors")
    for name, value in averaged.items():
        if value.is_floating_point():
            assert value == pytest.approx(sum(state[name].float() for state in states).numpy() / 3, abs=2e-3)
    assert provenance["averaged_with"] == [sha256(path) for path in given] and provenance["step"] == 3
    assert rows[-1]["event"] == "averaged" and len(rows[-1]["with"]) == 2 and 0 <= rows[-1]["score"] <= 1
    content = (tmp_path / "two/averaged.safetensors").read_bytes()
    (tmp_path / "two/averaged.safetensors").unlink()
    train(dataclasses.replace(two, resume=True))
    assert (tmp_path / "two/averaged.safetensors").read_bytes() == content
    with pytest.raises(UsageError, match=r"--average-with .*another configuration"):
        train(dataclasses.replace(two, config=CONFIG, out=tmp_path / "three"))


def test_resuming_with_other_options_is_refused(people: CocoKeypoints, tmp_path: Path) -> None:
    run = Run(CONFIG, quick(), tmp_path, [(people, 1.0)], stop_at=1)
    train(run)
    with pytest.raises(UsageError, match="another recipe"):
        train(dataclasses.replace(run, recipe=quick(lr=1.0), resume=True))
    with pytest.raises(UsageError, match="another config"):
        train(dataclasses.replace(run, config=CONFIG.replace(low_ratio=3), resume=True))
    (tmp_path / "checkpoint.pt").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="not a whole checkpoint"):
        train(dataclasses.replace(run, resume=True))
    with pytest.raises(InputError, match="no checkpoint"):
        train(dataclasses.replace(run, out=tmp_path / "other", resume=True))


def test_a_diverging_run_stops_and_keeps_the_last_checkpoint(
    people: CocoKeypoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(CONFIG, quick(), tmp_path, [(people, 1.0)], stop_at=2)
    train(run)
    kept = (tmp_path / "checkpoint.pt").read_bytes()
    monkeypatch.setattr("ftpcli.training.loop.heatmap_loss", lambda maps, *_: maps.sum() * float("nan"))
    with pytest.raises(DivergedError, match="checkpoint of step 2"):
        train(dataclasses.replace(run, resume=True, stop_at=0))
    assert (tmp_path / "checkpoint.pt").read_bytes() == kept


def test_a_full_disk_keeps_the_previous_checkpoint(
    people: CocoKeypoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(CONFIG, quick(), tmp_path, [(people, 1.0)], stop_at=1)
    train(run)
    kept = (tmp_path / "checkpoint.pt").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ftpcli.training.checkpoint.torch.save", full)
    with pytest.raises(FtpError, match="previous one is kept"):
        train(dataclasses.replace(run, resume=True, stop_at=2))
    assert (tmp_path / "checkpoint.pt").read_bytes() == kept


# Foreign checkpoints ----------------------------------------------------------------------------------------------


def vit_state(positions: int, width: int = 192, prefix: str = "", final: str = "norm") -> dict[str, torch.Tensor]:
    model = FTPPose(CONFIG.replace(image_size=(256, 192)))
    state = {}
    for name, value in model.backbone.vit.state_dict().items():
        value = torch.randn(1, positions, width) if name == "pos_embed" else torch.randn_like(value.float())
        state[prefix + name.replace("norm.", f"{final}.") if name.startswith("norm.") else prefix + name] = value
    return state


@pytest.mark.parametrize(
    ("form", "positions"), [("timm", 197), ("mae", 197), ("vitpose", 193), ("vitpose", 433), ("bare", 192)]
)
def test_foreign_backbones_are_mapped_and_resampled(tmp_path: Path, form: str, positions: int) -> None:
    path = tmp_path / "checkpoint.pth"
    if form == "vitpose":
        state = vit_state(positions, prefix="backbone.", final="last_norm")
        torch.save({"state_dict": state | {"keypoint_head.x": torch.ones(1)}, "meta": {"epoch": 3}}, path)
    elif form == "mae":
        state = vit_state(positions)
        torch.save({"model": state | {"decoder_pos_embed": torch.ones(1, 2, 3)}}, path)
    else:
        state = vit_state(positions)
        torch.save(state, path)
    model = FTPPose(CONFIG)
    taken = backbone_state(path, model.backbone)
    assert taken["pos_embed"].shape == (1, 1 + 12, 192)
    assert "norm.weight" in taken and "patch_embed.proj.weight" in taken
    key = next(name for name in state if name.endswith("blocks.3.attn.qkv.weight"))
    assert torch.equal(taken["blocks.3.attn.qkv.weight"], state[key])


@pytest.mark.parametrize("form", ["timm", "port"])
def test_an_efficientnet_stem_from_a_file(tmp_path: Path, form: str) -> None:
    """The file's network, in either form, gives the stem the same features as timm's own code does."""
    import timm

    net = timm.create_model("tf_efficientnet_lite0").eval()
    for module in net.modules():  # statistics that are not those of a fresh network
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    path = tmp_path / "lite0.pth"
    state = net.state_dict()
    torch.save(state if form == "timm" else {"state_dict": port_names(net)}, path)
    model = FTPPose(CONFIG.replace(stem="efficientnet")).eval()
    taken = stem_state(path, model.backbone)
    assert not model.backbone.vit.load_state_dict(taken, strict=False).unexpected_keys
    stem = model.backbone.vit.patch_embed.proj
    pictures = torch.rand(2, 3, 64, 48)
    with torch.no_grad():
        wanted = net.forward_intermediates(pictures, indices=[2, 3], intermediates_only=True)
        found = stem.net.forward_intermediates(pictures, indices=[2, 3], intermediates_only=True)
        tokens = model.encode(pictures)
    assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))
    assert tokens.shape == (2, 12, CONFIG.width)


def port_names(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The state under the names of EfficientNet-PyTorch: one list of blocks, norms counted from each block's first."""
    places = [(s, b) for s, stage in enumerate(net.blocks) for b in range(len(stage))]  # type: ignore[arg-type]
    state = {}
    for name, value in net.state_dict().items():
        first, *rest = name.split(".")
        if first == "blocks":
            stage, block, part, tail = int(rest[0]), int(rest[1]), rest[2], ".".join(rest[3:])
            plain = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
            expanded = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1"}
            expanded |= {"conv_pwl": "_project_conv", "bn3": "_bn2"}
            part = (expanded if stage else plain)[part]
            state[f"_blocks.{places.index((stage, block))}.{part}.{tail}"] = value
        else:
            head = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
            state[".".join([head.get(first, "_fc"), *rest])] = value
    return state


def test_stem_weights_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"conv_stem.weight": torch.zeros(3)}, path)
    with pytest.raises(UsageError, match="--stem efficientnet"):
        stem_state(path, FTPPose(CONFIG).backbone)
    backbone = FTPPose(CONFIG.replace(stem="efficientnet")).backbone
    with pytest.raises(InputError, match=r"x.pth: not a checkpoint of tf_efficientnet_lite0 \(\d+ of \d+ tensors"):
        stem_state(path, backbone)
    torch.save([torch.zeros(3)], path)
    with pytest.raises(InputError, match="not a checkpoint"):
        stem_state(path, backbone)
    with pytest.raises(InputError, match="no such checkpoint file"):
        stem_state(tmp_path / "absent.pth", backbone)


def test_foreign_checkpoints_that_do_not_fit(tmp_path: Path) -> None:
    backbone = FTPPose(CONFIG).backbone
    path = tmp_path / "x.pth"
    torch.save({"conv.weight": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="not a checkpoint of this backbone"):
        backbone_state(path, backbone)
    marker = tmp_path / "owned"

    class Evil:
        def __reduce__(self) -> tuple:
            return (open, (str(marker), "w"))

    torch.save({"model": Evil()}, path)
    with pytest.raises(InputError, match="could run code"):
        backbone_state(path, backbone)
    assert not marker.exists()
    path.write_bytes(b"zzz")
    with pytest.raises(InputError):
        backbone_state(path, backbone)
