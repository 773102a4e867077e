"""Training of the pose model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from ftpcli.errors import UsageError
from ftpcli.files.tensors import sha256
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.pose.weights import load_weights
from ftpcli.skeleton import PERSON19
from ftpcli.training.initialise import backbone_state
from ftpcli.training.pose_trainer import PoseTrainer, Run, train
from ftpcli.training.recipe import RECIPES, Augmentation
from ftpcli.training.runtime import set_drop_path
from ftpcli.training.sources import CocoKeypoints
from tests.support.training_runs import CONFIG, quick, state_of


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


def test_it_learns_and_the_best_weights_annotate(people: CocoKeypoints, tmp_path: Path) -> None:
    config = CONFIG.replace(branches="none", frames=1, stem="movenet", depth=1)
    chosen = dataclasses.replace(
        quick(optimiser="adamw"), steps=25, batch=8, lr=2e-3, ema=0.8, augmentation=Augmentation.none()
    )
    rows: list[dict] = []
    outcome = train(Run(config, chosen, tmp_path, [(people, 1.0)], [people], log_every=5), rows.append)
    losses = [row["loss"] for row in rows if row["event"] == "step"]
    # Between a flat map (log of 192 cells, 5.26) and the target's own entropy (about 4.2) there is little room.
    assert losses[-1] < 4.45
    assert outcome["best"] > 0.5

    from ftpcli.pose.estimator import Estimator

    estimator = Estimator.load(tmp_path / "best.safetensors", device="cpu", precision="fp32")
    assert estimator.window == 1 and estimator.joints == PERSON19.joints
    low, high = load_weights(tmp_path / "best.safetensors")[2]["ranges"]["blocks.1.joint"]
    assert low < 0 < high


def test_the_temporal_recipe_leaves_the_backbone_alone(people: CocoKeypoints, tmp_path: Path) -> None:
    config = CONFIG
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
    config = CONFIG.replace(depth=2)
    for name, seed, changes in (("whole", 1, {}), ("single", 2, {"branches": "none", "frames": 1})):
        chosen = dataclasses.replace(quick(seed=seed), steps=1)
        train(Run(config.replace(**changes), chosen, tmp_path / name, [(people, 1.0)]))
    whole, single = (load_weights(tmp_path / name / "last.safetensors")[1] for name in ("whole", "single"))
    state = backbone_state(tmp_path / "single/last.safetensors", config)
    chosen = dataclasses.replace(RECIPES["temporal"], steps=1, batch=4, lr=0.0, precision="fp32")
    init = tmp_path / "whole/last.safetensors"
    rows: list[dict] = []
    train(Run(config, chosen, tmp_path / "both", [(people, 1.0)], init=init, start=state), rows.append)
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
            torch.testing.assert_close(value, sum(state[name].float() for state in states) / 3, rtol=0, atol=2e-3)
    assert provenance["averaged_with"] == [sha256(path) for path in given] and provenance["step"] == 3
    assert rows[-1]["event"] == "averaged" and len(rows[-1]["with"]) == 2 and 0 <= rows[-1]["score"] <= 1
    content = (tmp_path / "two/averaged.safetensors").read_bytes()
    (tmp_path / "two/averaged.safetensors").unlink()
    train(dataclasses.replace(two, resume=True))
    assert (tmp_path / "two/averaged.safetensors").read_bytes() == content
    with pytest.raises(UsageError, match=r"--average-with .*another configuration"):
        train(dataclasses.replace(two, config=CONFIG, out=tmp_path / "three"))


@pytest.mark.parametrize("changes", [{}, {"stem": "movenet", "depth": 1}, {"width": 32}])
def test_kept_tokens_train_as_the_pictures_do(people: CocoKeypoints, tmp_path: Path, changes: dict) -> None:
    """A cache that holds two steps: from the third on the first windows again, also where the run is resumed."""
    config = CONFIG.replace(**{"width": 192, **changes})
    backbone = 192 * 3 + (384 if changes.get("stem") == "movenet" else 0)
    gib = 2.5 * 4 * 12 * backbone * 2 / 2**30
    chosen = dataclasses.replace(
        RECIPES["temporal"], steps=4, batch=4, warmup=0, precision="fp32", token_cache=gib, accumulate=2
    )
    run = Run(config, chosen, tmp_path / "cached", [(people, 1.0)], log_every=1)
    rows: list[dict] = []
    train(run, rows.append)
    losses = [row["loss"] for row in rows if row["event"] == "step"]
    whole = state_of(run.out)["model"]
    # One step after the other, each from the pictures: the resumed run keeps no tokens of before.
    parts = dataclasses.replace(run, out=tmp_path / "parts")
    for step in range(1, 5):
        train(dataclasses.replace(parts, stop_at=step, resume=step > 1))
    assert all(torch.equal(value, whole[name]) for name, value in state_of(parts.out)["model"].items())
    # A run that is given the tokens makes none.
    trainer = PoseTrainer(dataclasses.replace(run, out=tmp_path / "filling"), lambda row: None)
    trainer.run()
    given = PoseTrainer(dataclasses.replace(run, out=tmp_path / "given", tokens=trainer.cache), lambda row: None)
    assert all(given.examples()[n] is None for n in range(16))
    given.run()
    assert all(torch.equal(value, whole[name]) for name, value in state_of(given.settings.out)["model"].items())
    # Without a cache the first two steps are the same but for rounding, the third has other windows.
    without: list[dict] = []
    plain = dataclasses.replace(run, recipe=dataclasses.replace(chosen, token_cache=0.0), out=tmp_path / "plain")
    train(plain, without.append)
    others = [row["loss"] for row in without if row["event"] == "step"]
    assert losses[:2] == pytest.approx(others[:2], rel=3e-4)
    assert losses[2] != pytest.approx(others[2], rel=3e-4)


def test_what_is_frozen_stays_as_it_is(people: CocoKeypoints, tmp_path: Path) -> None:
    """Statistics of batch norms as well."""
    chosen = dataclasses.replace(RECIPES["temporal"], steps=2, batch=4, warmup=0, head_lr=0.0)
    trainer = PoseTrainer(Run(CONFIG, chosen, tmp_path / "run", [(people, 1.0)]), lambda row: None)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.run()
    changed = {name for name, value in trainer.model.state_dict().items() if not torch.equal(value, before[name])}
    learns = ("encoder.", "project.", "head.cross.", "head.mlp.", "head.scatter.")
    assert changed and all(name.startswith(learns) for name in changed)


def test_a_token_cache_is_for_a_frozen_backbone(people: CocoKeypoints, tmp_path: Path) -> None:
    frozen = dataclasses.replace(RECIPES["temporal"], steps=1, batch=4)
    for changes, says in (
        ({"token_cache": 1.0, "backbone_lr": 0.1}, "--backbone-lr 0"),
        ({"token_cache": 1e-7}, "a step's tokens alone take"),
        ({"token_cache": 1.0, "size": (96, 64)}, "--size"),
    ):
        with pytest.raises(UsageError, match=says):
            train(Run(CONFIG, dataclasses.replace(frozen, **changes), tmp_path / "run", [(people, 1.0)]))


def test_parts_of_a_batch_give_the_gradient_of_the_whole(people: CocoKeypoints, tmp_path: Path) -> None:
    """Although their people have different numbers of labelled joints."""
    gradients, losses = [], []
    for parts in (1, 4):
        chosen = dataclasses.replace(quick(optimiser="adamw", accumulate=parts), batch=8, steps=1)
        trainer = PoseTrainer(Run(CONFIG, chosen, tmp_path / f"{parts}", [(people, 1.0)]), lambda row: None)
        examples = trainer.examples()
        batch = trainer.collate([examples[i] for i in range(8)])
        assert batch is not None
        batch.weight[0, :9] = 0
        trainer.model.eval()  # in training, batch norm sees one part at a time
        losses.append(trainer.learn(batch)["heatmap"])
        gradients.append({name: p.grad for name, p in trainer.model.named_parameters() if p.grad is not None})
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradients[1][name], gradient, rtol=1e-4, atol=1e-6), name
