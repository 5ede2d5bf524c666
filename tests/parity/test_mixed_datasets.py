"""Datasets of mixed images: every way to their pixels and soft labels leads to the same ones."""

import numpy as np
import pytest

import materialize
from materialize.builder import BuildOptions, build_dataset
from materialize.executor import Crew
from materialize.loader.augmenting import AugmentingLoader, PrefixLoader
from materialize.loader.opening import LoaderOptions, OpenDataset
from materialize.loader.stream import StreamingLoader
from materialize.manifest import load_latest, shard_path
from materialize.recipe import Recipe
from materialize.shards.reader import ShardReader
from pipelines import from_dict
from pipelines.rendering import Pool

MIXING = from_dict(
    {
        "step": [
            {"transform": "rotation", "max_deg": 20},
            {
                "transform": "one_of",
                "probability": 0.8,
                "steps": [{"transform": "mixup", "alpha": 0.5}, {"transform": "cutmix"}],
            },
            {"transform": "horizontal_flip"},
        ]
    }
)
CLASSES, COPIES, SEED = 4, 3, 11


def pictures(count=48):
    rng = np.random.default_rng(5)
    return rng.integers(0, 256, (count, 12, 10, 3), dtype=np.uint8), np.arange(count) % CLASSES


def build(output, source=None, **options):
    """Several runs of three copies."""
    recipe = {"copies": COPIES, "seed": SEED, "shard_bytes": 2**13} | options
    chosen = recipe.pop("options", BuildOptions())
    source = pictures() if source is None else source
    return build_dataset(source, output, MIXING, Recipe(**recipe), options=chosen)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    output = tmp_path_factory.mktemp("mixed") / "dataset"
    build(output, originals=True)
    return output


def epochs(loader, count=COPIES):
    """Images, soft labels of each epoch, one after the other."""
    with loader:
        batches = [batch for epoch in range(count) for batch in loader.epoch(epoch)]
    images = np.concatenate([batch.images for batch in batches])
    return images, np.concatenate([batch.soft_labels(CLASSES) for batch in batches])


def augmenting(dataset, source, **options):
    """On the fly, with the partners of a dataset."""
    opened = OpenDataset.open(dataset)
    found, population = opened.with_source(source)
    return AugmentingLoader(
        found, MIXING, batch_size=16, augmentation_seed=SEED, population=population,
        pools=opened.standing.pools, **options,
    )  # fmt: skip


def test_all_arms_show_the_same_mixtures(dataset):
    """Shards, the source and stored originals; the source alone knows the partners too."""
    images, labels = epochs(StreamingLoader(dataset, batch_size=16))
    arms = (
        AugmentingLoader(pictures(), MIXING, batch_size=7, augmentation_seed=SEED),
        PrefixLoader(dataset, batch_size=16, options=LoaderOptions(threads=2)),
        augmenting(dataset, pictures()),
    )
    for arm in arms:
        theirs, their_labels = epochs(arm)
        np.testing.assert_array_equal(theirs, images)
        np.testing.assert_array_equal(their_labels, labels)
    assert 0.5 < (labels.max(axis=1) < 1).mean() < 0.9


def test_a_dataset_is_what_the_pipeline_makes_of_its_training_images(dataset):
    """Partners come from all training images, in the order of their ids."""
    population = OpenDataset.open(dataset).standing.populations[0]
    images = pictures()[0][population.source_index]
    for copy in range(COPIES):
        expected = MIXING.apply(
            images, seed=SEED, sample_ids=population.ids, copies=copy,
            pool=Pool(images, population.ids),
        )  # fmt: skip
        with StreamingLoader(dataset, batch_size=48) as loader:
            found = loader.images(np.arange(48), np.full(48, copy))
        np.testing.assert_array_equal(found, expected)


def test_shards_hold_the_soft_labels_that_loaders_hand_out(dataset):
    """By the columns of every shard, against the loader's draws."""
    opened = OpenDataset.open(dataset)
    samples, population = opened.samples(), opened.standing.populations[0]
    for entry in opened.standing.manifest.shards:
        if entry.spec.kind == "copy":
            rows = np.array(opened.standing.rows_of(entry.spec))
            mixed = opened.mixing(samples).of(rows, np.full(len(rows), entry.spec.copy))
            with ShardReader(shard_path(dataset, entry.file), entry) as reader:
                columns = reader.columns
            np.testing.assert_array_equal(columns["partner_labels"], mixed.labels)
            np.testing.assert_array_equal(columns["label_weights"], mixed.weights)
            partners = np.where(mixed.partners < 0, rows, mixed.partners)
            np.testing.assert_array_equal(columns["partner_ids"], population.ids[partners])


@pytest.mark.parametrize(
    "options",
    [BuildOptions(crew=Crew(3, "threading")), BuildOptions(batch_size=5)],
)
def test_workers_and_batches_change_no_byte(dataset, tmp_path, options):
    build(tmp_path / "other", originals=True, options=options)
    assert load_latest(tmp_path / "other").digest() == load_latest(dataset).digest()


def test_parts_and_little_memory_change_no_byte(dataset, tmp_path, monkeypatch):
    """Partners are decoded batch by batch where they do not fit."""
    monkeypatch.setattr("materialize.shared_images.SHARED_BYTES", 0)
    monkeypatch.setattr("materialize.partner_images.PARTNER_BYTES", 1000)
    for part in (2, 1):
        build(tmp_path / "other", originals=True, options=BuildOptions(part=(part, 2)))
    materialize.finish(tmp_path / "other")
    assert load_latest(tmp_path / "other").digest() == load_latest(dataset).digest()


def test_more_copies_are_those_of_a_build_in_one_go(dataset, tmp_path):
    build(tmp_path / "grown", originals=True, copies=1)
    materialize.extend(tmp_path / "grown", copies=COPIES, source=pictures())
    files = {entry.file: entry.file_sha256 for entry in load_latest(dataset).shards}
    grown = {entry.file: entry.file_sha256 for entry in load_latest(tmp_path / "grown").shards}
    assert grown == files


def test_new_images_leave_old_mixtures_alone_and_are_mixed_with_all(dataset, tmp_path):
    """Old rows keep their partners; new ones draw from both generations, in every arm."""
    build(tmp_path / "grown", source=tuple(part[:32] for part in pictures()), originals=True)
    before = {entry.file for entry in load_latest(tmp_path / "grown").shards}
    materialize.extend(tmp_path / "grown", source=pictures())
    assert before < {entry.file for entry in load_latest(tmp_path / "grown").shards}
    standing = OpenDataset.open(tmp_path / "grown").standing
    pairing = standing.pairings(2, {0: np.arange(16)})[0]
    drawn = pairing.population.ids[pairing.rows[pairing.rows >= 0]]
    first = {bytes(i) for i in standing.populations[0].ids}
    assert 0 < sum(bytes(i) in first for i in drawn) < len(drawn)
    expected = epochs(StreamingLoader(tmp_path / "grown", batch_size=16))
    for arm in (
        augmenting(tmp_path / "grown", pictures()),
        PrefixLoader(tmp_path / "grown", batch_size=16),
    ):
        for one, other in zip(epochs(arm), expected, strict=True):
            np.testing.assert_array_equal(one, other)
    assert materialize.verify(tmp_path / "grown", depth="pixels", source=pictures()).is_intact


@pytest.mark.parametrize("parameters", ["none", "full"])
def test_codecs_and_parameter_modes_hold_soft_labels(tmp_path, parameters):
    """With ``none``, labels and weights alone."""
    build(tmp_path / "other", codec="png", parameters=parameters)
    spec = next(e.spec for e in load_latest(tmp_path / "other").shards)
    assert {"partner_labels", "label_weights"} < set(spec.columns())
    assert ("partner_ids" in spec.columns()) == (parameters != "none")
    assert materialize.verify(tmp_path / "other", depth="pixels", source=pictures()).is_intact
