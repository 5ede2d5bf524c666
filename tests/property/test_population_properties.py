"""What a population must not depend on, for arbitrary folders."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from materialize.population import Population, ScanOptions, scan
from materialize.sources import open_source
from materialize.sources.records import TextColumn
from tests.image_files import png_bytes, write_tree

CONTENTS = [png_bytes(seed, (2, 2)) for seed in range(5)] + [b"junk", b""]

classes = st.sampled_from(["cat", "dog", "10", "9"])
names = st.text("abcxyzé ", min_size=1, max_size=4).map(lambda name: f"{name.strip()}_.png")
files = st.dictionaries(
    st.tuples(classes, names), st.sampled_from(range(len(CONTENTS))), min_size=1, max_size=12
)


def scanned(tree: dict[tuple[str, str], int], **options) -> Population:
    with tempfile.TemporaryDirectory() as root:
        contents = {f"{label}/{name}": CONTENTS[i] for (label, name), i in tree.items()}
        return scan(open_source(write_tree(Path(root), contents)), **options)


def content_of(population: Population) -> list[tuple[bytes, str, int]]:
    """What plans and epochs see of a population: everything but where the files lie."""
    return [
        (population.ids[row].tobytes(), population.label_name(row), int(population.heights[row]))
        for row in range(len(population))
    ]


@settings(deadline=None, max_examples=60)
@given(files, st.randoms(use_true_random=False))
def test_renaming_files_changes_nothing(tree, shuffler):
    fresh = [f"{number:03}.png" for number in range(len(tree))]
    shuffler.shuffle(fresh)
    renamed = {
        (label, name): content
        for ((label, _), content), name in zip(tree.items(), fresh, strict=True)
    }
    before, after = scanned(tree), scanned(renamed)
    assert content_of(after) == content_of(before)
    assert after.digest() == before.digest()


@settings(deadline=None, max_examples=60)
@given(files, files)
def test_adding_files_leaves_the_ids_of_others_alone(tree, more):
    """A new file can only take an id of its own, or the next ordinal among its equals."""
    before = scanned(tree)
    after = scanned({**{(c, f"new{n}"): i for (c, n), i in more.items()}, **tree})
    assert {row.tobytes() for row in before.ids} <= {row.tobytes() for row in after.ids}


@settings(deadline=None, max_examples=60)
@given(files)
def test_every_record_is_accepted_or_quarantined_once(tree):
    population = scanned(tree)
    seen = [*population.locators, *(bad.locator for bad in population.quarantined)]
    assert sorted(seen) == sorted(f"{label}/{name}" for label, name in tree)
    assert len({row.tobytes() for row in population.ids}) == len(population)


@settings(deadline=None, max_examples=12)
@given(files, st.sampled_from([("loky", 2), ("threading", 2), ("threading", 5)]))
def test_workers_and_backends_change_nothing(tree, where):
    backend, n_jobs = where
    with tempfile.TemporaryDirectory() as root:
        contents = {f"{label}/{name}": CONTENTS[i] for (label, name), i in tree.items()}
        source = open_source(write_tree(Path(root), contents))
        alone = scan(source).to_bytes()
        assert scan(source, n_jobs=n_jobs, backend=backend).to_bytes() == alone


@settings(deadline=None, max_examples=40)
@given(st.permutations(range(9)))
def test_the_order_of_array_rows_changes_nothing(order):
    images = np.arange(9 * 4, dtype=np.uint8).reshape(9, 2, 2) // 8
    labels = np.arange(9) % 2
    straight = scan(open_source((images, labels)))
    shuffled = scan(open_source((images[list(order)], labels[list(order)])))
    assert content_of(shuffled) == content_of(straight)


@settings(deadline=None, max_examples=60)
@given(files)
def test_a_population_comes_back_from_its_bytes(tree):
    data = scanned(tree).to_bytes()
    assert Population.from_bytes(data).to_bytes() == data


@settings(deadline=None, max_examples=40)
@given(files)
def test_headers_alone_tell_the_same_sizes(tree):
    """For images that are whole, trusting the source gives the very same population."""
    assert (
        scanned(tree, options=ScanOptions(trust_source=True)).to_bytes() == scanned(tree).to_bytes()
    )


@given(st.lists(st.text()), st.data())
def test_a_text_column_holds_what_it_was_given(texts, data):
    column = TextColumn.of(texts)
    rows = data.draw(st.lists(st.sampled_from(range(len(texts))))) if texts else []
    assert list(column) == texts
    assert list(column.taken(np.array(rows, np.int64))) == [texts[row] for row in rows]
    assert list(TextColumn.joined([column, column])) == texts * 2
