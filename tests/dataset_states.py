"""What a dataset holds and what lies in its directory, for tests that change one that stands."""

from materialize.manifest import load_latest, shard_path
from materialize.shards.reader import ShardReader
from tests.jobs import contents


def shards_of(directory):
    """The shards of the newest manifest: name → bytes."""
    entries = load_latest(directory).shards
    return {entry.file: shard_path(directory, entry.file).read_bytes() for entry in entries}


def content_digests(directory):
    """(split, run, copy) → content digest of every shard of the newest manifest."""
    return {
        (e.spec.generation, e.spec.split, e.spec.run, e.spec.copy): e.content_sha256
        for e in load_latest(directory).shards
    }


def stored_images(directory):
    """(id, split, copy) → label and pixels of everything the newest manifest has."""
    found = {}
    for entry in load_latest(directory).shards:
        with ShardReader(shard_path(directory, entry.file), entry) as reader:
            images = reader.images
            for row, sample in enumerate(reader.sample_ids):
                key = (sample.tobytes().hex(), entry.spec.split, entry.spec.copy)
                label = int(reader.labels[row])
                found[key] = (reader.class_names[label], images[row].tobytes())
    return found


def state(directory):
    """Every file that tells of a dataset, byte for byte, to see that nothing changed."""
    populations = {path.name: path.read_bytes() for path in directory.glob("population-*")}
    return contents(directory) | populations
