"""Contrast results as a report needs them: plausible numbers from plain arithmetic, no training."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
from PIL import Image
from scipy.stats import t as student

from materialize.contrast.results import (
    AblationRow,
    ArmSummary,
    ContrastResult,
    KVerdict,
    Proof,
    ProofPair,
    PublishedFigure,
    RunResult,
)
from materialize.summary import ByteAccount
from materialize.training.result import EpochFigures

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
NUM_TRAIN, NUM_EPOCHS, MARGIN = 4_000, 8, 0.01
IMAGE_BYTES = 32 * 32 * 3
STEPS = ("rotation", "shift", "zoom", "flip")

_ARMS = {
    "none": ("none", None, 0.662, 0.931),
    "offline K=1": ("offline", 1, 0.671, 0.893),
    "offline K=2": ("offline", 2, 0.7105, 0.822),
    "offline K=4": ("offline", 4, 0.7165, 0.781),
    "offline K=8": ("offline", 8, 0.719, 0.752),
    "on-the-fly": ("on-the-fly", None, 0.719, 0.752),
    "prefix": ("prefix", None, 0.719, 0.752),
}
"""Name → arm, copies, test accuracy, training accuracy at the end."""


def full_result(num_seeds: int = 5) -> ContrastResult:
    """Every part there is: seeds, validation, ablation, proof, published figures, notes."""
    runs = tuple(_run(name, seed) for name in _ARMS for seed in range(num_seeds))
    arms = tuple(_arm(name, runs) for name in _ARMS)
    return ContrastResult(
        title="CIFAR-10 subset: stored copies against augmenting on the fly",
        experiment="cifar10",
        form="quick",
        command="materialize contrast --experiment cifar10 --seeds 5 --copies 1,2,4,8",
        job={"experiment": "cifar10", "copies": [1, 2, 4, 8], "seeds": num_seeds, "epochs": 8},
        dataset=_DATASET,
        environment={
            "python": "3.12.4", "cpu_model": "a processor with a rather long name @ 2.10GHz",
            "num_cpus": 2, "backend": "tensorflow", "device": "cpu",
            "packages": {"keras": "3.15.0", "numpy": "2.3.1", "tensorflow": "2.21.0"},
        },
        runs=runs,
        arms=arms,
        verdicts=_verdicts(runs),
        smallest_sufficient=4,
        margin=MARGIN,
        proof=Proof(
            holds=True,
            copies=8,
            pairs=tuple(
                ProofPair(name="offline K=8", seed=s, weights=_digest("fly", s),
                          on_the_fly=_digest("fly", s))
                for s in range(num_seeds)
            ),
            reason="offline K=8: 5 of 5 trainings ended with the weights of on-the-fly, bit for "
            "bit.",
        ),
        ablation=tuple(_ablation(i, step, kind) for kind in ("without", "alone")
                       for i, step in enumerate(STEPS)),
        published=(
            PublishedFigure(measure="test accuracy", setting="without augmentation", value=0.74,
                            arm="none", ours=arms[0].accuracy),
            PublishedFigure(measure="test accuracy", setting="with augmentation", value=0.78,
                            arm="on-the-fly", ours=arms[5].accuracy),
            PublishedFigure(measure="training accuracy", setting="as written (warm)", value=0.96),
        ),
        notes=(
            (
                "The tutorial builds both models from the same layers, so its second model starts "
                "from the trained first one; ours start from equal, untrained weights."
            ),
            "channel_shift_range = 0.2 on levels of 0 … 255 changes nothing.",
        ),
        date="2026-03-01T12:00:00Z",
    )  # fmt: skip


def minimal_result() -> ContrastResult:
    """One seed; no validation, confusion, ablation, published figures or notes; nothing proven."""
    full = full_result()
    runs = tuple(
        replace(
            run, val_accuracy=None, confusion=(), extra_scores={},
            epochs=tuple(replace(e, val_loss=None, val_accuracy=None) for e in run.epochs),
        )
        for run in full.runs
        if run.seed == 0 and run.name in ("none", "offline K=2", "on-the-fly")
    )  # fmt: skip
    arms = tuple(
        replace(_arm(run.name, runs), val_accuracy=None, gap=None, extra_scores={}, build_s=0.0)
        for run in runs
    )
    verdict = KVerdict(
        copies=2, verdict="inconclusive",
        difference=runs[1].test_accuracy - runs[2].test_accuracy,
        remark="one seed has no interval: run at least three",
    )  # fmt: skip
    return replace(
        full, title="Digits", experiment=None, runs=runs, arms=arms, verdicts=(verdict,),
        smallest_sufficient=None, ablation=(), published=(), notes=(),
        proof=Proof(
            holds=None, reason="No weights could be compared: no K reaches the 8 epochs."
        ),
    )  # fmt: skip


def write_photos(folder: Path) -> None:
    """Two classes of little pictures that compress differently, and a file that is none."""
    words = np.random.Generator(np.random.PCG64(1))
    for number in range(24):
        name = ("cat", "dog")[number % 2]
        (folder / name).mkdir(parents=True, exist_ok=True)
        levels = words.integers(0, 16 + 10 * number, (32, 32, 3), np.uint8)
        Image.fromarray(levels).save(folder / name / f"{number}.png")
    (folder / "cat" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")


ACCOUNT = ByteAccount(
    source_bytes=12_288_000, logical_copies_bytes=98_304_000, logical_originals_bytes=18_432_000,
    stored_pixels_bytes=116_736_000, columns_bytes=1_216_000, container_bytes=229_376,
    metadata_bytes=214_310, allocated_bytes=118_419_456,
)  # fmt: skip

_DATASET = {
    "name": "cifar10", "counts": {"train": NUM_TRAIN, "val": 1_000, "test": 1_000},
    "image_shape": [32, 32, 3], "class_names": list(CLASSES),
    "manifest": sha256(b"manifest").hexdigest(), "population": sha256(b"population").hexdigest(),
    "pipeline": "cifar10", "fingerprint": sha256(b"pipeline").hexdigest(), "augmentation_seed": 7,
}  # fmt: skip


def _run(name: str, seed: int) -> RunResult:
    arm, copies, test, train = _ARMS[name]
    # Arms that see the same images end alike; the others differ from them seed by seed.
    own = 0.0 if arm in ("on-the-fly", "prefix") or copies == 8 else _wobble(name, seed)
    test = round(test + 0.012 * _wobble("seed", seed) + 0.006 * own, 4)
    train = round(train + 0.006 * _wobble("train", seed), 4)
    val = round(test + 0.004 + 0.004 * _wobble("val", seed), 4)
    augmenting = arm in ("on-the-fly", "prefix")
    compute, wait = 41.0 + _wobble("c", seed), (3.4 if augmenting else 0.06)
    return RunResult(
        name=name, arm=arm, copies=copies, seed=seed,
        epochs=tuple(_epoch(e, train, val, wait, compute) for e in range(NUM_EPOCHS)),
        test_accuracy=test, test_loss=round(1.6 - test, 4), train_accuracy=train, val_accuracy=val,
        initial_weights=_digest("start", seed),
        weights=_digest("fly" if augmenting or copies == 8 else name, seed),
        num_steps=NUM_EPOCHS * NUM_TRAIN // 32,
        wall_s=compute + wait + 1.2, cpu_s=78.0 + (9.5 if augmenting else 0.0),
        augment_s=9.1 if augmenting else 0.0, read_s=0.4, wait_s=wait, compute_s=compute,
        images_per_s=NUM_EPOCHS * NUM_TRAIN / (compute + wait),
        stall_fraction=wait / (compute + wait),
        extra_scores={"easy": round(test + 0.1, 4), "difficult": round(test - 0.2, 4)},
        confusion=_confusion(test),
    )  # fmt: skip


def _epoch(number: int, train: float, val: float, wait: float, compute: float) -> EpochFigures:
    done = 1 - 0.62 ** (number + 1)
    last = 1 - 0.62**NUM_EPOCHS
    return EpochFigures(
        epoch=number, loss=2.3 - 1.8 * done, accuracy=round(train * done / last, 4),
        val_loss=2.2 - 1.4 * done, val_accuracy=round(val * (done / last) ** 0.6, 4),
        seconds=(wait + compute) / NUM_EPOCHS, wait_s=wait / NUM_EPOCHS,
        compute_s=compute / NUM_EPOCHS, learning_rate=1e-3, num_images=NUM_TRAIN,
        num_steps=NUM_TRAIN // 32,
    )  # fmt: skip


def _confusion(accuracy: float) -> tuple[tuple[int, ...], ...]:
    k, each = len(CLASSES), 100
    rows = []
    for true in range(k):
        right = round(each * accuracy) - 3 * (true % 4)
        row = [0] * k
        row[true] = right
        for i in range(each - right):
            row[(true + 1 + (i * i) % (k - 1)) % k] += 1
        rows.append(tuple(row))
    return tuple(rows)


def _arm(name: str, runs: Sequence[RunResult]) -> ArmSummary:
    own = [run for run in runs if run.name == name]
    fly = {run.seed: run.test_accuracy for run in runs if run.arm == "on-the-fly"}
    accuracies = [run.test_accuracy for run in own]
    low, high = _interval(accuracies, 0.95)
    differences = [run.test_accuracy - fly[run.seed] for run in own]
    is_reference = own[0].arm == "on-the-fly"
    difference_low, difference_high = (None, None) if is_reference else _interval(differences, 0.95)
    train, val = fmean(r.train_accuracy for r in own), fmean(r.val_accuracy or 0 for r in own)
    copies = own[0].copies
    return ArmSummary(
        name=name, arm=own[0].arm, copies=copies, num_seeds=len(own),
        accuracy=fmean(accuracies), accuracy_low=low, accuracy_high=high,
        difference=None if is_reference else fmean(differences),
        difference_low=difference_low, difference_high=difference_high,
        train_accuracy=train, val_accuracy=val, gap=train - val,
        extra_scores={
            "easy": fmean(accuracies) + 0.1, "difficult": fmean(accuracies) - 0.2,
        },
        wall_s=fmean(r.wall_s for r in own), cpu_s=fmean(r.cpu_s for r in own),
        augment_s=own[0].augment_s, read_s=own[0].read_s, wait_s=own[0].wait_s,
        compute_s=fmean(r.compute_s for r in own),
        images_per_s=fmean(r.images_per_s for r in own),
        stall_fraction=fmean(r.stall_fraction for r in own),
        stored_bytes=NUM_TRAIN * IMAGE_BYTES * (copies or (1 if own[0].arm == "prefix" else 0)),
        build_s=1.15 * (copies or 0),
    )  # fmt: skip


def _verdicts(runs: Sequence[RunResult]) -> tuple[KVerdict, ...]:
    fly = [run.test_accuracy for run in runs if run.arm == "on-the-fly"]
    found = []
    for copies, verdict in (
        (8, "equivalent"), (4, "equivalent"), (2, "inconclusive"), (1, "worse")
    ):  # fmt: skip
        own = [run.test_accuracy for run in runs if run.copies == copies]
        differences = [a - b for a, b in zip(own, fly, strict=True)]
        low, high = _interval(differences, 0.90)
        found.append(
            KVerdict(
                copies=copies, verdict=verdict, difference=fmean(differences), low=low, high=high,
                p_value={8: 0.0, 4: 0.0042, 2: 0.81, 1: 0.9999}[copies],
                needed_seeds=11 if copies == 2 else None,
                remark="the weights are identical, seed by seed" if copies == 8 else "",
                is_tested=copies != 1,
            )
        )  # fmt: skip
    return tuple(found)


def _ablation(index: int, step: str, kind: str) -> AblationRow:
    effect = (-0.012, 0.011, 0.002, 0.016)[index]
    alone = kind == "alone"
    reference, difference = (0.662, effect) if alone else (0.719, -effect)
    return AblationRow(
        label=f"{step} alone" if alone else f"without {step}", transform=step, kind=kind,
        num_seeds=5, accuracy=reference + difference,
        accuracy_low=reference + difference - 0.009, accuracy_high=reference + difference + 0.009,
        reference="none" if alone else "on-the-fly", difference=difference,
        difference_low=difference - 0.006, difference_high=difference + 0.006,
        verdict=("hurts", "helps", "no clear effect", "helps")[index],
    )  # fmt: skip


def _interval(values: Sequence[float], level: float) -> tuple[float | None, float | None]:
    if len(values) < 2:
        return None, None
    half = float(student.ppf((1 + level) / 2, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    return fmean(values) - half, fmean(values) + half


def _wobble(name: str, seed: int) -> float:
    """A number in [-1, 1] that looks like noise and is always the same."""
    return int.from_bytes(sha256(f"{name} {seed}".encode()).digest()[:4], "little") / 2**31 - 1


def _digest(name: str, seed: int) -> str:
    return sha256(f"weights {name} {seed}".encode()).hexdigest()
