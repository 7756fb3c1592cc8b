"""What a file is, by its first bytes, whatever its name says; and what to do with one that is no picture for us."""

from __future__ import annotations

EXPORT = "save it as JPEG or PNG with a program that opens it"
DEVELOP = "a camera's raw picture: develop it to JPEG with the camera's or another raw program"
FRAME = "a video, not a picture: save one frame of it as JPEG or PNG"
UNPACK = "an archive: unpack it first"
HEIC = (
    "a HEIC picture, as iPhones make them, which could not be opened: save it as JPEG (on the phone: Settings, Camera, "
    "Formats, Most Compatible; or share it as JPEG)"
)
BRANDS = {  # of the container that begins with "ftyp"
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), HEIC),
    **dict.fromkeys((b"avif", b"avis"), f"an AVIF picture, which this Pillow cannot open: {EXPORT}"),
    b"crx ": DEVELOP,
}
STARTS = (
    (b"%PDF", f"a PDF document: {EXPORT}"),
    (b"8BPS", f"a Photoshop file (PSD): {EXPORT}"),
    (b"gimp xcf", f"a GIMP file (XCF): {EXPORT}"),
    (b"%!PS", f"a PostScript file: {EXPORT}"),
    (b"\xff\x0a", f"a JPEG XL picture: {EXPORT}"),
    (b"\0\0\0\x0cJXL ", f"a JPEG XL picture: {EXPORT}"),
    (b"FUJIFILMCCD-RAW", DEVELOP),
    (b"IIRO", DEVELOP),  # Olympus
    (b"IIRS", DEVELOP),
    (b"MMOR", DEVELOP),
    (b"IIU\0", DEVELOP),  # Panasonic
    (b"\x1aE\xdf\xa3", FRAME),  # Matroska, WebM
    (b"PK\x03\x04", UNPACK),
    (b"\x1f\x8b", UNPACK),
    (b"7z\xbc\xaf", UNPACK),
    (b"Rar!", UNPACK),
)
RAW_TAGS = (50706, 50740)  # DNGVersion, DNGPrivateData
REDUCED, SUB_IFDS = 254, 330  # tags of TIFF: "a smaller version of another picture", and where that one lies


def kind_of(data: bytes) -> str | None:
    """What a file is and what to do, in words, for one that Pillow does not open; None: nobody knows."""
    if data[4:8] == b"ftyp":
        return BRANDS.get(data[8:12], FRAME)
    if data[:4] in (b"II*\0", b"MM\0*") and data[8:10] == b"CR":
        return DEVELOP  # Canon
    if data[:4] == b"RIFF" and data[8:11] == b"AVI":
        return FRAME
    known = next((words for start, words in STARTS if data.startswith(start)), None)
    if known is None and data[:256].lstrip().lower().startswith((b"<svg", b"<?xml", b"<!doctype", b"<html")):
        is_svg = b"<svg" in data[:4096].lower()
        return f"a drawing (SVG): {EXPORT}" if is_svg else "a web page: download the picture itself"
    return known


def is_raw(data: bytes, tags) -> bool:
    """Is this TIFF a camera's raw picture (.CR2, .NEF, .ARW, .DNG), of which Pillow would open the small preview?

    Args:
        data: the file.
        tags: `tag_v2` of its first picture.
    """
    if data[8:10] == b"CR" or any(tag in tags for tag in RAW_TAGS):
        return True
    return bool(tags.get(REDUCED, 0) & 1) and SUB_IFDS in tags
