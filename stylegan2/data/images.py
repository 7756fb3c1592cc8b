"""One image: from the bytes of some file, by way of an upright RGB square, to the bytes that are stored."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile, ImageOps

# Plain pictures only: EPS, for one, would start an interpreter.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF")
RESAMPLE = {name: Image.Resampling[name.upper()] for name in ("lanczos", "bicubic", "bilinear", "box", "nearest")}
MAX_PIXELS = 89_478_485  # Pillow's own default: a quarter of a gibibyte of RGB
MAX_REDUCED = 3 * MAX_PIXELS  # of a JPEG, which can be decoded at half the width, or less


@dataclass(frozen=True)
class Settings:
    """How images are stored. Two runs with equal settings and an equal source give equal bytes."""

    sizes: tuple[int, ...]  # pixels, square
    format: str = "jpeg"  # or "png" (lossless)
    quality: int | None = 100  # JPEG only
    resample: str = "lanczos"
    crop: bool = True  # centre square; False squeezes the whole picture

    def __post_init__(self):
        if not self.sizes or any(not isinstance(s, int) or not 4 <= s <= 4096 for s in self.sizes):
            raise ValueError(f"sizes={self.sizes}: expected one or more whole numbers of pixels from 4 to 4096")
        if self.format not in ("jpeg", "png"):
            raise ValueError(f"format='{self.format}': expected 'jpeg' or 'png'")
        if self.format == "jpeg" and not (isinstance(self.quality, int) and 1 <= self.quality <= 100):
            raise ValueError(f"quality={self.quality}: expected 1 to 100")
        if self.resample not in RESAMPLE:
            raise ValueError(f"resample='{self.resample}': expected one of {', '.join(RESAMPLE)}")


class Refused(Exception):
    """This item gives no image; the message is the reason shown in the report."""


def describe(error: Exception) -> str:
    """Type and message without memory addresses, so that the same file always gets the same reason; 200 characters."""
    text = re.sub(r"<[^<>]*0x[^<>]*>", "it", f"{type(error).__name__}: {error}")
    return text if len(text) <= 200 else f"{text[:197]}..."


@contextlib.contextmanager
def strict_pillow() -> Iterator[None]:
    """Pillow with its safety on, whatever the caller's process has set: bombs are errors, cut-off files are damaged."""
    tolerant, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_REDUCED // 2  # an error is twice that
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd EXIF or ICC blocks are no reason to reject a picture
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = tolerant, limit


def to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow mode as RGB: transparency is laid over white, 16-bit grey is scaled (Pillow alone would clip it).

    Raises Refused for floating-point pictures, whose value range is unknown.
    """
    if image.mode == "F":
        raise Refused("floating-point pixels, whose value range is unknown; save it with 8 bits per channel")
    if image.mode.startswith("I"):  # I, I;16, I;16B: greyscale with 16 bits, 0..65535
        grey = np.clip(np.asarray(image).astype(np.float64) / 257.0, 0, 255)
        return Image.fromarray(grey.round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


@functools.cache
def _known_formats() -> tuple[str, ...]:
    """Those of FORMATS that this build of Pillow can open (asking for another is an error)."""
    Image.init()
    with contextlib.suppress(ImportError):  # no wheel for this machine: HEIC pictures are named and refused
        import pi_heif

        pi_heif.register_heif_opener()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def decode(data: bytes, shrink_to: int | None = None) -> Image.Image:
    """Bytes of an image file -> upright RGB image. Raises Refused for anything that is not a whole, sane picture.

    `shrink_to`: a JPEG whose short side is at least 4x this many pixels is decoded at a reduced scale (never below 2x),
    which is several times faster. A JPEG of more than `MAX_PIXELS` (and at most `MAX_REDUCED`) always is. The image's
    attribute `reduced` says by how much.
    """
    most = MAX_REDUCED if data[:3] == b"\xff\xd8\xff" else MAX_PIXELS
    try:
        with strict_pillow(), Image.open(io.BytesIO(data), formats=_known_formats()) as image:
            if image.format == "TIFF" and is_raw(data, image.tag_v2):
                raise Refused(DEVELOP)
            pixels = image.width * image.height  # as the file declares, nothing is decoded yet
            if pixels > most:
                raise Image.DecompressionBombError
            width = image.width
            factor = 2 * shrink_to / min(image.size) if shrink_to else 1.0
            if factor <= 0.5 or pixels > MAX_PIXELS:
                factor = min(factor, 0.5)
                image.draft(None, (round(image.width * factor), round(image.height * factor)))
            image.load()
            upright = to_rgb(ImageOps.exif_transpose(image))
            upright.reduced = width / image.width
            return upright
    except (Refused, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise Refused(
            f"more than {most:,} pixels, which would fill the memory: make it smaller with another program (a JPEG may "
            f"have up to {MAX_REDUCED:,})"
        ) from error
    except Image.UnidentifiedImageError as error:
        raise Refused(kind_of(data) or ("not an image" if data else "empty file")) from error
    except Exception as error:  # broken files make Pillow's decoders raise nearly everything; none of it is our bug
        raise Refused(f"damaged ({describe(error)})") from error


def to_square(image: Image.Image, size: int, resample: str, crop: bool) -> Image.Image:
    """RGB image of any shape -> size x size. `crop`: the centred square; otherwise the whole picture is squeezed."""
    if crop and image.width != image.height:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))  # resize(box=...) would filter across its edges
    return image if image.size == (size, size) else image.resize((size, size), RESAMPLE[resample])


def encode(image: Image.Image, settings: Settings) -> bytes:
    """RGB image -> bytes of a JPEG or PNG file."""
    buffer = io.BytesIO()
    if settings.format == "png":
        image.save(buffer, format="png")
    else:  # at high quality keep colour at full resolution: halved, thin coloured lines of cartoons fade
        image.save(buffer, format="jpeg", quality=settings.quality, subsampling=0 if settings.quality >= 95 else 2)
    return buffer.getvalue()


# ------------------------------------------------------------------------------------------- what is no picture for us
EXPORT = "save it as JPEG or PNG with a program that opens it"
DEVELOP = "a camera's raw picture: develop it to JPEG with the camera's or another raw program"
FRAME = "a video, not a picture: save one frame of it as JPEG or PNG"
HEIC = (
    "a HEIC picture, as iPhones make them, which could not be opened: save it as JPEG (on the phone: Settings, Camera, "
    "Formats, Most Compatible; or share it as JPEG)"
)
KINDS = {  # how a file begins (a regular expression): what it is, and what to do; the first that fits
    rb"....ftyp(hei[cxms]|hev[cx]|m[is]f1)": HEIC,
    rb"....ftypavi[fs]": f"an AVIF picture, which this Pillow cannot open: {EXPORT}",
    rb"....ftypcrx |(II\*\0|MM\0\*)....CR|FUJIFILMCCD-RAW|IIRO|IIRS|MMOR|IIU\0": DEVELOP,
    rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI": FRAME,
    rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!": "an archive: unpack it first",
    rb"%PDF": f"a PDF document: {EXPORT}",
    rb"8BPS": f"a Photoshop file (PSD): {EXPORT}",
    rb"gimp xcf": f"a GIMP file (XCF): {EXPORT}",
    rb"%!PS": f"a PostScript file: {EXPORT}",
    rb"\xff\x0a|\0\0\0\x0cJXL ": f"a JPEG XL picture: {EXPORT}",
    rb"\s*<(?=.{0,4096}<svg|svg)": f"a drawing (SVG): {EXPORT}",
    rb"\s*<(\?xml|!doctype|html)": "a web page: download the picture itself",
}
RAW_TAGS = (50706, 50740)  # of TIFF: DNGVersion, DNGPrivateData
REDUCED, SUB_IFDS = 254, 330  # tags of TIFF: "a smaller version of another picture", and where that one lies


def kind_of(data: bytes) -> str | None:
    """What a file is and what to do, in words, for one that Pillow does not open; None: nobody knows."""
    return next((words for start, words in KINDS.items() if re.match(start, data, re.DOTALL | re.IGNORECASE)), None)


def is_raw(data: bytes, tags) -> bool:
    """Is this TIFF a camera's raw picture (.CR2, .NEF, .ARW, .DNG), of which Pillow would open the small preview?

    tags: `tag_v2` of its first picture.
    """
    reduced = bool(tags.get(REDUCED, 0) & 1) and SUB_IFDS in tags
    return data[8:10] == b"CR" or any(tag in tags for tag in RAW_TAGS) or reduced
