"""The iterators of the drop-in ``ImageDataGenerator``, under the names Keras gives them.

The generator itself is `pipelines.keras_generator`; these are what its ``flow`` methods return:
endless iterators with a length, and PyDatasets where Keras is installed.
"""

from materialize.flows.array_iterator import NumpyArrayIterator
from materialize.flows.directory_iterator import DirectoryIterator
from materialize.flows.frame_iterator import DataFrameIterator
from materialize.flows.iterator import Iterator

__all__ = ["DataFrameIterator", "DirectoryIterator", "Iterator", "NumpyArrayIterator"]
