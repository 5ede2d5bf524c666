"""Folds, removal, explanation, damage, exports and training of datasets that mix images."""

import csv
from functools import partial

import numpy as np
import pytest

import materialize
from materialize.accounting.kinds import account_files
from materialize.builder import build_dataset
from materialize.collection import collect_garbage
from materialize.contrast.job_files import parse_contrast
from materialize.contrast.running import run_contrast
from materialize.errors import ConfigError, ShardUntrustedError
from materialize.estimation.pace import measure_pace
from materialize.estimation.pools import Drawn
from materialize.executor import Crew
from materialize.loader.adapters import as_tf_dataset, as_torch_dataset
from materialize.loader.augmenting import AugmentingLoader, PrefixLoader
from materialize.loader.opening import OpenDataset
from materialize.loader.stream import StreamingLoader
from materialize.manifest import load_latest, shard_path
from materialize.metadata.about import About
from materialize.planning import take_rows
from materialize.recipe import Recipe
from materialize.shards.reader import ShardReader
from materialize.shards.untrusted import check_soft_labels
from materialize.sources import open_source
from pipelines import from_dict
from tests.contrast_cases import SMALL
from tests.parity.test_mixed_datasets import (
    CLASSES,
    COPIES,
    MIXING,
    SEED,
    augmenting,
    build,
    epochs,
    pictures,
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    output = tmp_path_factory.mktemp("mixed") / "dataset"
    build(output, originals=True)
    return output


@pytest.fixture(scope="module")
def folded(tmp_path_factory):
    output = tmp_path_factory.mktemp("folded") / "dataset"
    build(output, originals=True, folds=(3, 7))
    return output


def test_no_held_out_image_is_mixed_into_a_fold(folded):
    """Whoever is in an image, by every arm, is trained on."""
    opened = OpenDataset.open(folded)
    for fold in range(3):
        training, held_out = opened.fold(fold, folds=3, seed=7)
        mixing = opened.mixing(training)
        for copy in range(COPIES):
            mixed = mixing.of(np.arange(len(training)), np.full(len(training), copy))
            assert (mixed.partners >= 0).any()
        standing = opened.standing
        trained = {bytes(i) for i in training.ids}
        rows = np.flatnonzero([bytes(i) in trained for i in standing.populations[0].ids])
        for pairing in standing.pairings(1, dict.fromkeys(range(COPIES), rows)).values():
            drawn = pairing.population.ids[pairing.rows[pairing.rows >= 0]]
            assert {bytes(i) for i in drawn} <= trained
        assert len(held_out)


def test_the_arms_agree_on_a_fold(folded):
    """On the fly the population knows the folds, or is told them."""
    samples, _ = OpenDataset.open(folded).fold(1, folds=3, seed=7)
    expected = epochs(StreamingLoader(folded, batch_size=16, samples=samples))
    arms = (
        augmenting(folded, pictures(), samples=samples),
        PrefixLoader(folded, batch_size=16, samples=samples),
        AugmentingLoader(
            pictures(), MIXING, batch_size=16, augmentation_seed=SEED, samples=samples, folds=(3, 7)
        ),
    )
    for arm in arms:
        for one, other in zip(epochs(arm), expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_other_folds_are_refused_with_the_remedy(dataset, folded):
    for directory, seed in ((dataset, 7), (folded, 0)):
        with pytest.raises(ConfigError, match=rf"--folds 3 --fold-seed {seed}"):
            OpenDataset.open(directory).fold(0, folds=3, seed=seed)


def test_samples_that_others_are_mixed_into_are_refused(dataset):
    some = OpenDataset.open(dataset).samples().taken(np.arange(20))
    with pytest.raises(ConfigError, match="28 images outside of them"):
        StreamingLoader(dataset, batch_size=4, samples=some)


def test_folds_stay_when_an_image_is_removed(folded, tmp_path):
    """They are not dealt anew, or old mixtures would cross them."""
    build(tmp_path / "less", originals=True, folds=(3, 7))
    before = OpenDataset.open(tmp_path / "less").fold(0, folds=3, seed=7)
    victim = bytes(before[1].ids[0]).hex()
    materialize.remove(tmp_path / "less", [victim], source=pictures())
    after = OpenDataset.open(tmp_path / "less").fold(0, folds=3, seed=7)
    np.testing.assert_array_equal(after[0].ids, before[0].ids)
    np.testing.assert_array_equal(after[1].ids, before[1].ids[1:])
    assert materialize.verify(tmp_path / "less", depth="pixels", source=pictures()).is_intact


def columns_of(directory):
    """The id of the partner of each image and copy."""
    found = {}
    for entry in load_latest(directory).shards:
        if entry.spec.kind == "copy":
            with ShardReader(shard_path(directory, entry.file), entry) as reader:
                columns = reader.columns
            pairs = zip(columns["sample_ids"], columns["partner_ids"], strict=True)
            found |= {(bytes(a).hex(), entry.spec.copy): bytes(b).hex() for a, b in pairs}
    return found


def test_nothing_is_left_of_a_removed_partner_and_others_keep_theirs(tmp_path):
    """Without stored originals the images that lost their partner come from the source."""
    build(tmp_path / "less", shard_bytes=2**12)
    before, partners = load_latest(tmp_path / "less"), columns_of(tmp_path / "less")
    victim = next(other for (own, _), other in partners.items() if own != other)
    materialize.remove(tmp_path / "less", [victim], source=pictures())
    collect_garbage(tmp_path / "less")
    left = columns_of(tmp_path / "less")
    assert victim not in left.values()
    assert victim not in {own for own, _ in left}
    changed = {key for key in left if left[key] != partners[key]}
    assert changed == {key for key in left if partners[key] == victim}
    kept = {e.file for e in before.shards} & {e.file for e in load_latest(tmp_path / "less").shards}
    assert kept
    assert materialize.verify(tmp_path / "less", depth="pixels", source=pictures()).is_intact
    online = augmenting(tmp_path / "less", pictures())
    stored = StreamingLoader(tmp_path / "less", batch_size=16)
    for one, other in zip(epochs(online), epochs(stored), strict=True):
        np.testing.assert_array_equal(one, other)


def test_stored_originals_make_a_removal_need_no_source(tmp_path):
    build(tmp_path / "less", originals=True)
    victim = next(iter(columns_of(tmp_path / "less").values()))
    materialize.remove(tmp_path / "less", [victim])
    assert materialize.verify(tmp_path / "less", depth="pixels", source=pictures()).is_intact


def test_an_explanation_names_the_partner(dataset):
    """With its id, where it is, and the weight that is stored."""
    (own, copy), partner = next((k, v) for k, v in columns_of(dataset).items() if k[0] != v)
    explained = materialize.explain(dataset, own, copy, source=pictures())
    assert explained.partner.sample_id == partner
    assert explained.partner.locator.startswith("row:")
    assert 0 <= explained.partner.weight < 1
    assert explained.is_equal
    assert any(partner in line for line in explained.lines())


def test_deep_verification_sees_a_partner_that_is_not_the_drawn_one(dataset, monkeypatch):
    """Columns and pixels are made again from the partners' own draws."""
    from materialize.partners import PartnerPools

    pair = PartnerPools.pair

    def another(self, *arguments):
        pairing = pair(self, *arguments)
        moved = np.where(pairing.rows < 0, -1, (pairing.rows + 1) % len(self.population))
        return type(pairing)(pairing.population, moved, pairing.weights)

    monkeypatch.setattr(PartnerPools, "pair", another)
    report = materialize.verify(dataset, depth="pixels", source=pictures())
    assert {damage.kind for damage in report.damages} == {"draws-differ", "pixels-differ"}


def test_a_damaged_mixture_is_repaired_to_the_byte(tmp_path):
    build(tmp_path / "out")
    entry = load_latest(tmp_path / "out").shards[1]
    path = shard_path(tmp_path / "out", entry.file)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + b"x" * 9)
    assert materialize.repair(tmp_path / "out", source=pictures()).is_whole
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("column", "value"),
    [("partner_labels", 4), ("partner_labels", -2), ("label_weights", np.nan),
     ("label_weights", 1.5), ("label_weights", -0.1)],
)  # fmt: skip
def test_soft_labels_that_are_none_are_refused(column, value):
    columns = {
        "partner_labels": np.array([0, 3, -1], np.int32),
        "label_weights": np.array([0, 0.5, 1], np.float32),
    }
    check_soft_labels(columns, 4, "shard")
    columns[column][1] = value
    with pytest.raises(ShardUntrustedError, match=f"{column} is .* in row 1"):
        check_soft_labels(columns, 4, "shard")


def test_images_without_classes_have_no_soft_labels(tmp_path):
    """Minus one, which says that there is none, is no class counted from the end."""
    build(tmp_path / "d", source=pictures()[0])
    batch = next(iter(StreamingLoader(tmp_path / "d", batch_size=4)))
    with pytest.raises(ConfigError, match="one of 2 classes for each image, got -1"):
        batch.soft_labels(2)


def test_adapters_hand_out_soft_labels(dataset):
    """Also where class numbers were asked for: there are none."""
    loader = StreamingLoader(dataset, batch_size=16)
    expected = next(iter(loader.epoch(0))).soft_labels(CLASSES)
    given = as_tf_dataset(loader)
    assert given.element_spec[1].shape.as_list() == [16, CLASSES]
    np.testing.assert_array_equal(next(iter(given))[1].numpy(), expected)
    batches = as_torch_dataset(lambda: StreamingLoader(dataset, batch_size=16))
    np.testing.assert_array_equal(next(iter(batches))[1].numpy(), expected)


def test_exports_say_what_images_are_mixed_with(dataset, tmp_path):
    materialize.export_dataset(dataset, tmp_path / "npz", to="npz")
    with np.load(tmp_path / "npz" / "train.npz") as arrays:
        weights, labels = arrays["label_weights"], arrays["partner_labels"]
    materialize.export_dataset(dataset, tmp_path / "folder", to="folder")
    with (tmp_path / "folder" / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["label_weight"]) for row in rows] == weights.tolist()
    assert [int(row["partner_label"]) for row in rows] == labels.tolist()
    partners = columns_of(dataset)
    assert all(
        partners[row["sample_id"], int(row["copy"])] == row["partner_sample_id"] for row in rows
    )


def small_model(loader):
    """One dense layer over the levels, from the same weights."""
    import keras

    keras.utils.set_random_seed(1)
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    last = keras.layers.Dense(CLASSES, activation="softmax")
    return keras.Sequential([keras.Input(loader.image_shape), *layers, last])


def test_training_is_the_same_from_shards_and_on_the_fly(dataset):
    """Soft labels and class weights included."""
    from materialize.training.fitting import fit
    from materialize.training.settings import TrainingSettings

    settings = TrainingSettings(epochs=COPIES, batch_size=16, class_weights=(1.0, 2.0, 1.0, 0.5))
    digests = set()
    for loader in (
        StreamingLoader(dataset, batch_size=16),
        AugmentingLoader(pictures(), MIXING, batch_size=16, augmentation_seed=SEED),
    ):
        model = small_model(loader)
        digests.add(fit(model, loader, settings).weights_digest)
    assert len(digests) == 1


def test_training_with_cutmix_alone_is_the_same_in_every_arm(tmp_path):
    """Two steps an epoch; without cutmix they end elsewhere."""
    from materialize.training.fitting import fit
    from materialize.training.settings import TrainingSettings

    turned = {"transform": "rotation", "max_deg": 20}
    cut, whole = (from_dict({"step": s}) for s in ([turned, {"transform": "cutmix"}], [turned]))
    build_dataset(pictures(), tmp_path / "d", cut, Recipe(copies=2, seed=SEED, originals=True))
    given = {"batch_size": 24}
    on_the_fly = partial(AugmentingLoader, pictures(), augmentation_seed=SEED, **given)
    loaders = (
        StreamingLoader(tmp_path / "d", **given), on_the_fly(cut),
        PrefixLoader(tmp_path / "d", **given), on_the_fly(whole),
    )  # fmt: skip
    settings = TrainingSettings(epochs=2, **given)
    offline, *others = (fit(small_model(one), one, settings).weights_digest for one in loaders)
    assert [digest == offline for digest in others] == [True, True, False]


@pytest.mark.parametrize("kind", ["stratified", "plain"])
def test_a_contrast_trains_all_arms_on_folds_of_mixtures(tmp_path, kind):
    """Stratified ones, which the dataset is built with; of others it knows nothing."""
    mixing = "[pipeline]\n[[pipeline.step]]\ntransform = 'mixup'\n"
    text = SMALL.replace('pipeline = "digits"\n', "").replace("[training]", f"{mixing}[training]")
    job = parse_contrast(
        text.format(
            arms=["offline", "on-the-fly", "prefix"], copies=[1], seeds=1, epochs=1,
            more=f'folds = 2\nfold-kind = "{kind}"',
        ),
        "mixed.toml",
    )  # fmt: skip
    if kind == "plain":
        with pytest.raises(ConfigError, match="fold-kind: expected stratified"):
            run_contrast(job, tmp_path)
        return
    weights = {}
    for run in run_contrast(job, tmp_path).runs:
        weights.setdefault(run.fold, set()).add(run.weights)
    assert {fold: len(digests) for fold, digests in weights.items()} == {0: 1, 1: 1}


def test_an_estimate_counts_soft_labels_to_the_byte(dataset):
    recipe = Recipe(copies=COPIES, seed=SEED, shard_bytes=2**13, originals=True)
    estimate = materialize.plan(pictures(), pipeline=MIXING, recipe=recipe).estimate
    found = account_files(dataset, load_latest(dataset)).kinds
    assert estimate.columns_bytes == found["columns"]
    assert estimate.container_bytes == found["container"]


def test_held_out_images_are_timed_though_they_have_no_fold(tmp_path):
    images, labels = pictures()
    source = {"train": (images[:40], labels[:40]), "val": (images[40:], labels[40:])}
    build(tmp_path / "out", source, folds=(3, 7))
    (population,) = OpenDataset.open(tmp_path / "out").standing.populations
    held_out = take_rows(population, np.array(population.split_rows("val")))
    drawn = Drawn(open_source(source), held_out)
    pace = measure_pace(drawn, MIXING, Recipe(copies=1, seed=SEED), Crew(), tmp_path)
    assert pace.stored_row_bytes > 0


def test_catalogues_say_what_records_are_mixed_with(dataset, tmp_path):
    about = About(
        name="mixed", description="Noise.", licence="CC0-1.0", creator=("A",), date="2026-03-01",
        url="https://example.org",
    )  # fmt: skip
    materialize.write_metadata(dataset, about, output=tmp_path)
    with (tmp_path / "croissant-records.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["copy"] != "-1"]
    partners = columns_of(dataset)
    assert {(row["sample_id"], int(row["copy"])): row["partner_id"] for row in rows} == partners
