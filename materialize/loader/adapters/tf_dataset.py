"""A loader as a `tf.data.Dataset`."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from materialize.libraries import load_library
from materialize.loader.adapters.targets import OF_OBJECTS, Form, Ragged, Targets, as_names, run_of
from materialize.loader.loader import Loader
from materialize.recipe import whole_number


def tf_dataset(  # noqa: PLR0913  # each is one fact of what is handed on
    loader: Loader,
    *,
    epochs: int = 1,
    first_epoch: int = 0,
    one_hot: bool = False,
    device: str | None = None,
    targets: str | Sequence[str] | None = None,
    max_objects: int | None = None,
    ragged: bool = False,
) -> Any:
    """The batches of some epochs, one after another.

    Whenever it is iterated it begins with ``first_epoch`` again, so a ``fit`` of several epochs is
    given all of them and told where each one ends::

        model.fit(tf_dataset(loader, epochs=3), epochs=3, steps_per_epoch=len(loader))

    Args:
        loader: whose batches; its own place is neither looked at nor moved.
        epochs: how many, at least 1.
        first_epoch: the first of them.
        one_hot: whether labels are (n, classes) float32 rather than (n,) int32 class numbers.
        device: where batches are put ahead of time, such as ``"/GPU:0"``; by default they stay in
            the host's memory.
        targets: as in `keras_dataset`.
        max_objects: as in `keras_dataset`.
        ragged: hand all objects on as `tf.RaggedTensor`, one row for each image, instead of padding
            them to ``max_objects``.

    Returns:
        A `tf.data.Dataset` of (images, targets), with weights behind where samples have some, or of
        images where nothing is labelled, in the order of the loader and of known cardinality; on a
        device, TensorFlow forgets that. The number of images is None in ``element_spec`` only where
        the last batch of an epoch is shorter. Images that lie at a multiple of 64 bytes are not
        copied on the host, others are copied once. Iterators that are given up stop the loader's
        threads.

    Raises:
        ConfigError: an argument is outside its interval, or TensorFlow is not installed.
    """
    tf = load_library("tensorflow", "as_tf_dataset")
    first_epoch = whole_number("first_epoch", first_epoch, 0, 2**32 - 1)
    run = range(first_epoch, first_epoch + whole_number("epochs", epochs, 1, 2**32))
    form = Form(
        one_hot=one_hot, targets=as_names(targets), max_objects=max_objects, is_ragged=ragged
    )
    beside = Targets.of(loader, form)
    dataset = tf.data.Dataset.from_generator(
        lambda: _elements(tf, loader, run, beside),
        output_signature=_element_spec(tf, loader, beside),
    )
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(loader) * len(run)))
    options = tf.data.Options()
    options.deterministic = True
    # Ranks share an epoch by the loader; shared out once more, most of it would be left out.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    dataset = dataset.with_options(options)
    if device is None:
        return dataset.prefetch(tf.data.AUTOTUNE)
    return dataset.apply(tf.data.experimental.prefetch_to_device(device))


def _elements(tf: Any, loader: Loader, run: range, targets: Targets) -> Iterator[Any]:
    with closing(run_of(loader, run)) as batches:  # type: ignore[type-var]
        for batch in batches:
            beside = targets.beside(batch)
            if isinstance(beside, dict):
                beside = {name: _tensor(tf, given) for name, given in beside.items()}
            yield targets.element(batch.images, _tensor(tf, beside), targets.weights(batch))


def _tensor(tf: Any, given: Any) -> Any:
    """A ragged tensor of what is ragged; all else as it is."""
    if not isinstance(given, Ragged):
        return given
    return tf.RaggedTensor.from_row_splits(given.values, given.row_splits)


def _element_spec(tf: Any, loader: Loader, targets: Targets) -> Any:
    num_images = loader.batch_size if loader.is_even else None
    images = tf.TensorSpec((num_images, *loader.image_shape), loader.image_dtype)
    if not targets.names:
        return images
    kinds, most = loader.object_kinds, targets.max_objects or None
    num_keypoints = 0 if kinds is None else len(kinds.keypoint_names)
    label = ((targets.num_classes,), tf.float32) if targets.one_hot else ((), tf.int32)
    every: dict[str, tuple[tuple[int | None, ...], Any]] = {
        "label": label,
        "mask": (loader.mask_shape or (), tf.uint8),
        "object_labels": ((most,), tf.int32),
        "boxes": ((most, 4), tf.float32),
        "keypoints": ((most, num_keypoints, 3), tf.float32),
    }
    for field in targets.fields:
        numbers = (len(field.names),) if targets.one_hot else ()
        is_label, kind = field.kind == "label", tf.float32 if targets.one_hot else tf.int32
        every[field.name] = (numbers, kind) if is_label else (field.shape, tf.float32)
    specs = {
        name: tf.RaggedTensorSpec((num_images, *shape), dtype, ragged_rank=1)
        if most is None and name in OF_OBJECTS
        else tf.TensorSpec((num_images, *shape), dtype)
        for name, (shape, dtype) in ((name, every[name]) for name in targets.names)
    }
    beside = specs if targets.is_dict else specs[targets.names[0]]
    return targets.element(images, beside, tf.TensorSpec((num_images,), tf.float32))
