"""What a flow shows depends on the sample, the epoch, the seed and the parameters alone."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.keras_generator import ImageDataGenerator
from tests.keras_generator_cases import images, whole_epoch

checked = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 2**64 - 1)
sizes = st.integers(1, 9)
shifts = st.one_of(st.floats(0, 0.9), st.integers(0, 4),
                   st.lists(st.integers(-4, 4), min_size=1, max_size=3))  # fmt: skip


@st.composite
def generators(draw):
    """Any parameters, standardisation included."""
    options = {
        "rotation_range": draw(st.floats(0, 180)), "width_shift_range": draw(shifts),
        "height_shift_range": draw(shifts), "shear_range": draw(st.floats(0, 60)),
        "zoom_range": draw(st.floats(0, 0.9)), "horizontal_flip": draw(st.booleans()),
        "vertical_flip": draw(st.booleans()), "fill_mode": draw(st.sampled_from(
            ["nearest", "constant", "reflect", "wrap"])), "cval": draw(st.floats(-50, 300)),
        "channel_shift_range": draw(st.sampled_from([0.0, 40.0, 400.0])),
        "brightness_range": draw(st.sampled_from([None, (0.5, 1.5)])),
        "interpolation_order": draw(st.sampled_from([0, 1, 1, 1, 3])),
        "rescale": draw(st.sampled_from([None, 1 / 255])),
        "samplewise_center": draw(st.booleans()),
    }  # fmt: skip
    return ImageDataGenerator(**options)


SOURCE = images(9)


@checked
@given(generators(), seeds, sizes, sizes)
def test_the_batch_size_has_no_influence(generator, seed, one, other):
    """To the bit, over two epochs."""
    flows = [generator.flow(SOURCE, batch_size=n, seed=seed, shuffle=False) for n in (one, other)]
    for _ in range(2):
        np.testing.assert_array_equal(*map(whole_epoch, flows))
        for flow in flows:
            flow.on_epoch_end()


@checked
@given(generators(), seeds, st.permutations(range(5)))
def test_the_order_of_access_has_no_influence(generator, seed, order):
    """Nor what was asked for before."""
    flows = [generator.flow(SOURCE, batch_size=2, seed=seed) for _ in range(2)]
    flows[1][3]
    np.testing.assert_array_equal(whole_epoch(flows[0]), whole_epoch(flows[1], order))


@checked
@given(generators(), seeds)
def test_the_order_of_the_samples_has_no_influence(generator, seed):
    """A shuffled epoch shows the images of an ordered one."""
    shuffled = generator.flow(SOURCE, np.arange(9), batch_size=4, seed=seed)
    ordered = whole_epoch(generator.flow(SOURCE, batch_size=9, seed=seed, shuffle=False))
    for number in range(len(shuffled)):
        x, y = shuffled[number]
        np.testing.assert_array_equal(x, ordered[y])


@settings(checked, max_examples=10)
@given(generators(), seeds)
def test_threads_have_no_influence(generator, seed):
    """Batches asked for at once are those asked for in turn."""
    flow = generator.flow(SOURCE, batch_size=2, seed=seed)
    expected = [flow[number] for number in range(len(flow))]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(flow.__getitem__, range(len(flow))))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@checked
@given(st.integers(0, 40), sizes, seeds, st.integers(0, 3))
def test_an_epoch_shows_every_sample_once(count, size, seed, epochs):
    """For any number of samples and batch size."""
    flow = ImageDataGenerator().flow(np.zeros((count, 1, 1, 1)), np.arange(count),
                                     batch_size=size, seed=seed)  # fmt: skip
    for _ in range(epochs):
        shown = [next(flow)[1] for _ in range(len(flow))]
        assert sum(map(len, shown)) == count
        assert sorted(y for part in shown for y in part) == list(range(count))
