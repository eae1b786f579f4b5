"""The formats of image files that are read: those of `WANTED` that the installed Pillow decodes."""

import functools

from PIL import Image, features

# Formats that run a program (EPS), only show a preview, or are rare in sets of images are not tried. TGA has no magic
# number, so it comes last.
WANTED = {
    "JPEG": "JPEG",
    "PNG": "PNG",
    "WEBP": "WebP",
    "GIF": "GIF",
    "BMP": "BMP",
    "TIFF": "TIFF",
    "AVIF": "AVIF",
    "JPEG2000": "JPEG 2000",
    "PPM": "PPM",
    "QOI": "QOI",
    "TGA": "TGA",
}
_LIBRARIES = {"JPEG": "jpg", "PNG": "zlib", "WEBP": "webp", "AVIF": "avif", "JPEG2000": "jpg_2000"}


@functools.cache
def formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats that are read."""
    Image.init()
    return tuple(name for name in WANTED if name in Image.OPEN and _has_library(name))


@functools.cache
def suffixes() -> frozenset[str]:
    """Return the suffixes of those formats, in lower case and with their dot."""
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in formats())


@functools.cache
def in_words() -> str:
    """Return the formats as a user calls them: `JPEG, PNG, ...`."""
    return ", ".join(WANTED[name] for name in formats())


def _has_library(name: str) -> bool:
    library = _LIBRARIES.get(name)
    return library is None or bool(features.check(library))
