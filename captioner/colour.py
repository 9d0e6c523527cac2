"""Embedded colour profiles: the numbers of a photograph become those of sRGB, as which model and screens take them.

A camera or telephone may write Adobe RGB or Display P3, a printer's file CMYK; read as sRGB they look dull or wrong.
"""

import io

import numpy
from PIL import Image, ImageCms

# The largest profile that a JPEG can hold is a little smaller.
MAXIMUM_PROFILE_BYTES = 2**24
# Profiles that call themselves sRGB differ from each other by a level or two, since they round; nobody sees that.
SAME = 3
# A profile's colour space -> the modes whose photographs it can describe, and the one in which it takes pixels.
SPACES = {
    "RGB": (("RGB", "RGBA", "RGBa", "RGBX", "P", "PA"), "RGB"),
    "GRAY": (("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "F"), "L"),
    "CMYK": (("CMYK",), "CMYK"),
}
# Of a screen, a camera or scanner, a printer, or none in particular.
DEVICES = ("mntr", "scnr", "prtr", "spac")


def transform_to_srgb(image: Image.Image) -> ImageCms.ImageCmsTransform | None:
    """How to bring a photograph's colours to sRGB, by the profile embedded in it.

    Building it takes a few milliseconds, and 25 for CMYK; nothing is kept from one photograph to the next.

    Returns:
        None where nothing is to be done: there is no profile, it is sRGB or of another kind of image, or it is
        broken, which must not cost a good photograph.
    """
    data = image.info.get("icc_profile")
    if not isinstance(data, bytes) or not 0 < len(data) <= MAXIMUM_PROFILE_BYTES:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        modes, mode = SPACES[profile.profile.xcolor_space.strip()]
        if image.mode not in modes or profile.profile.device_class not in DEVICES:
            return None
        transform = ImageCms.buildTransform(
            profile,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,  # else a print's black would be grey
        )
        return transform if changes(transform) else None
    except Exception:  # Pillow raises many types on damaged profiles
        return None


def changes(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether a transform changes colours visibly.

    Asked of what it does, because descriptions mislead: there are many names for sRGB, and linear profiles that
    bear it too.
    """
    if transform.input_mode == "CMYK":
        return True
    levels = numpy.linspace(0, 255, 9).round().astype(numpy.uint8)
    colours = numpy.stack(numpy.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 9, 3)
    if transform.input_mode == "L":
        colours = levels[:, None].repeat(9, 1)[..., None].repeat(3, 2)
    before = Image.fromarray(colours)
    after = numpy.asarray(ImageCms.applyTransform(before.convert(transform.input_mode), transform))
    return int(numpy.abs(after.astype(int) - colours).max()) > SAME


def apply_transform(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    """A photograph of mode RGB, RGBA or CMYK with its colours in sRGB, RGB or RGBA; what was transparent stays so."""
    converted = ImageCms.applyTransform(image.convert(transform.input_mode), transform)
    if image.mode == "RGBA":
        converted.putalpha(image.getchannel("A"))
    return converted
