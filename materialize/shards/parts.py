"""What encoded blocks are made of: parts behind their lengths, and Zstandard frames; none believed.

Apart from the decoders because two modules with compiled functions may not import each other.
"""

from typing import Literal

import numpy as np
import zstandard
from numpy.typing import NDArray

_LENGTH_BYTES = 4


class Parts:
    """Parts of a block that follow each other, each behind its length.

    Args:
        block: the whole block.
        start: where the first length is.
        tail_bytes: what is to be left behind the last part.
        byteorder: of the lengths, which have four bytes.
    """

    def __init__(
        self, block: memoryview, start: int, tail_bytes: int = 0,
        byteorder: Literal["big", "little"] = "big",
    ) -> None:  # fmt: skip
        """Before the first part."""
        self._block, self._end, self._byteorder = block, len(block) - tail_bytes, byteorder
        self.position = start
        """Where the next length is."""

    def take(self) -> memoryview:
        """The next part.

        Raises:
            ValueError: it would end behind the others' end.
        """
        start = self.position + _LENGTH_BYTES
        length = int.from_bytes(self._block[self.position : start], self._byteorder)
        if start + length > self._end:
            raise ValueError(f"expected parts up to byte {self._end}, got {start + length}")
        self.position = start + length
        return self._block[start : self.position]

    def check_end(self) -> None:
        """Refuses what is left over.

        Raises:
            ValueError: the parts end before the block does.
        """
        if self.position != self._end:
            raise ValueError(f"expected parts up to byte {self._end}, got {self.position}")


def decode_frame(
    decoder: zstandard.ZstdDecompressor, frame: memoryview, num_bytes: int
) -> NDArray[np.uint8]:
    """The (num_bytes,) values of one whole Zstandard frame, read-only.

    Args:
        decoder: belongs to one thread, as its library demands.
        frame: the frame and nothing else.
        num_bytes: what it must decode to.

    Raises:
        ValueError: it is not such a frame.
    """
    try:
        # Compared first: this length is what the decoder would allocate.
        if zstandard.frame_content_size(frame) != num_bytes:
            raise ValueError(f"expected a frame of {num_bytes} bytes, got another")
        decoded = decoder.decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
    if len(decoded) != num_bytes:
        raise ValueError(f"expected a frame of {num_bytes} bytes, got {len(decoded)}")
    return np.frombuffer(decoded, np.uint8)
