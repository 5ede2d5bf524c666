"""Statistics depend on the images; everything that is standardised is a number."""

from fractions import Fraction

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.standardization import Standardization, standardization_from_dict
from pipelines.standardizer import Standardizer
from pipelines.statistics import fit_statistics
from tests.standardization_cases import twin

SHAPE = st.tuples(
    st.integers(1, 9), st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 3, 4])
)
LEVELS = SHAPE.flatmap(lambda shape: hnp.arrays(np.uint8, shape))
FLOATS = SHAPE.flatmap(
    lambda shape: hnp.arrays(np.float32, shape, elements=st.floats(-1e6, 1e6, width=32))
)
FEATUREWISE = Standardization(featurewise_center=True, featurewise_std=True)


@st.composite
def standardizations(draw, zca=True):
    """Any that is not contradictory."""
    sample, feature, white = draw(st.integers(0, 2)), draw(st.integers(0, 2)), draw(st.booleans())
    white = white and zca
    return Standardization(
        rescale=draw(st.sampled_from([None, 1 / 255, 2.0, -0.1])),
        offset=draw(st.sampled_from([0.0, -1.0, 0.25])),
        samplewise_center=sample > 0, samplewise_std=sample > 1,
        featurewise_center=feature > 0 or white, featurewise_std=feature > 1 and not white,
        zca=white, zca_components=draw(st.sampled_from([None, 1, 7])) if white else None,
    )  # fmt: skip


def cut(images, sizes):
    """The images in batches of these sizes, over and over; the rest in one."""
    batches, start = [], 0
    for size in sizes:
        batches.append(images[start : start + size])
        start += size
    return [*batches, images[start:]]


@given(LEVELS)
def test_mean_and_std_are_correctly_rounded(images):
    """The mean is the double nearest to the exact one; so is the variance under the root."""
    fitted = fit_statistics([images], FEATUREWISE)
    for channel in range(images.shape[3]):
        values = [int(value) for value in images[..., channel].ravel()]
        mean = Fraction(sum(values), len(values))
        variance = sum((value - mean) ** 2 for value in values) / len(values)
        assert fitted.mean[channel] == float(mean)
        assert fitted.std[channel] == np.sqrt(float(variance))


@given(LEVELS, st.lists(st.integers(0, 4), max_size=5), st.randoms(use_true_random=False))
def test_levels_are_summed_in_any_batches_and_order(images, sizes, shuffler):
    """Bit for bit, so no thread or batch size can show."""
    rows = list(range(len(images)))
    shuffler.shuffle(rows)
    whole = fit_statistics([images], FEATUREWISE)
    other = fit_statistics(cut(images[rows], sizes), FEATUREWISE)
    assert whole.digest() == other.digest()


@given(st.one_of(LEVELS, FLOATS), st.lists(st.integers(0, 4), max_size=5), standardizations())
@settings(max_examples=60)
def test_no_statistic_depends_on_batches(images, sizes, standardization):
    """Floats and whitening included: chunks are cut anew."""
    whole = fit_statistics([images], standardization)
    assert whole.digest() == fit_statistics(cut(images, sizes), standardization).digest()


@given(st.one_of(LEVELS, FLOATS), standardizations(zca=False))
def test_the_kernel_is_its_twin(images, standardization):
    """For every combination of steps, byte for byte."""
    fitted = fit_statistics([images], standardization)
    result = Standardizer(standardization, fitted, images.shape[1:]).apply(images)
    assert result.tobytes() == twin(images, standardization, fitted).tobytes()


@given(st.one_of(LEVELS, FLOATS), standardizations())
@settings(max_examples=60)
def test_every_result_is_finite(images, standardization):
    """Constant images, single images, fewer images than values: never NaN."""
    fitted = fit_statistics([images], standardization)
    result = Standardizer(standardization, fitted, images.shape[1:]).apply(images)
    assert np.isfinite(result).all()


@given(standardizations())
def test_options_survive_their_dict_form(standardization):
    """With their fingerprint."""
    again = standardization_from_dict(standardization.to_dict())
    assert again == standardization
    assert again.fingerprint() == standardization.fingerprint()
