"""The header of a JPEG file: enough to say which ones TensorFlow decodes just as Pillow does."""

import struct
from typing import NamedTuple

from PIL import Image

from gamix_keras.config import sides

_START_OF_IMAGE = b"\xff\xd8"
_END_OF_IMAGE = b"\xff\xd9"
_APP1 = 0xE1
_NO_FRAMES = (0xC4, 0xC8, 0xCC)
_HUFFMAN_FRAMES = (0xC0, 0xC1, 0xC2)
_START_OF_SCAN = 0xDA
_ORIENTATION = 0x0112


class Header(NamedTuple):
    """What the segments before the first scan say."""

    frame: int
    precision: int
    height: int
    width: int
    components: int
    upright: bool

    def is_plain(self) -> bool:
        """Whether this is an upright, 8-bit grey or colour image within Pillow's pixel limit.

        Everything else is left to Pillow: CMYK, 12 bits, arithmetic coding, EXIF rotation.
        """
        limit = Image.MAX_IMAGE_PIXELS
        within = 0 < self.height * self.width and (limit is None or self.height * self.width <= limit)
        coded = self.frame in _HUFFMAN_FRAMES and self.precision == 8 and self.components in (1, 3)
        return within and coded and self.upright

    def reduction(self, image_size: int | tuple[int, int]) -> int:
        """Return by how much the decoder may shrink the image: the largest of 1, 2, 4, 8 that leaves the size."""
        height, width = sides(image_size)
        fits = min(self.height // height, self.width // width)
        return max(scale for scale in (1, 2, 4, 8) if scale <= max(1, fits))


def plain_header(data: bytes) -> Header | None:
    """Return the header of a plain JPEG file that has its end, and `None` for all other files."""
    if not data.startswith(_START_OF_IMAGE) or not data.endswith(_END_OF_IMAGE):
        return None
    header = read_header(data)
    return header if header is not None and header.is_plain() else None


def read_header(data: bytes) -> Header | None:
    """Walk the segments of a JPEG up to its frame header; return `None` if they make no sense."""
    position, upright = 2, True
    while position + 10 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAMES:
            precision, height, width, components = struct.unpack_from(">BHHB", data, position + 4)
            return Header(marker, precision, height, width, components, upright)
        if marker == _START_OF_SCAN:
            return None
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == _APP1:
            upright = upright and _is_upright(data[position + 4 : end])
        position = end
    return None


def _is_upright(segment: bytes) -> bool:
    if not segment.startswith(b"Exif\0\0"):
        return True
    exif = Image.Exif()
    try:
        exif.load(segment)
        return exif.get(_ORIENTATION, 1) == 1
    except Exception:  # a damaged EXIF block: Pillow's decoder decides
        return False
