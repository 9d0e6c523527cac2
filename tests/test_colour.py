"""A photograph's own colours become those of sRGB; what is sRGB already keeps every pixel."""

import io

import numpy
import pytest
from PIL import Image, ImageCms

from captioner import open_photo
from captioner.colour import MAXIMUM_PROFILE_BYTES
from train.data.drawn import draw

from .drawing import encoded
from .profiles import ADOBE_RGB, DISPLAY_P3, SRGB, cmyk_profile, grey_profile, in_srgb, rgb_profile

PIL_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def pixels(photo: Image.Image) -> numpy.ndarray:
    return numpy.asarray(photo).astype(int)


def many_colours() -> Image.Image:
    colours = numpy.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=numpy.uint8)
    return Image.fromarray(colours)


@pytest.mark.parametrize(("colorants", "gamma"), [(ADOBE_RGB, 2.2), (DISPLAY_P3, None)])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_other_colours_become_srgb(colorants, gamma, kind):
    image = many_colours()
    options = {"lossless": True} if kind == "WEBP" else {}
    photo = open_photo(encoded(image, kind, icc_profile=rgb_profile(colorants, gamma), **options))
    expected = in_srgb(pixels(image).reshape(-1, 3), colorants, gamma)
    difference = numpy.abs(pixels(photo).reshape(-1, 3) - expected)
    assert difference.mean() < 1
    assert difference.max() < 5  # littlecms's curves are coarse near black
    assert not photo.info


@pytest.mark.parametrize("kind", ["JPEG", "AVIF"])
def test_lossy_formats_carry_profiles_too(kind):
    options = {"quality": 95, "icc_profile": rgb_profile(ADOBE_RGB, 2.2)}
    photo = open_photo(encoded(Image.new("RGB", (32, 32), (60, 200, 60)), kind, **options))
    expected = in_srgb(numpy.array([[60, 200, 60]]), ADOBE_RGB, 2.2)
    assert numpy.abs(pixels(photo).reshape(-1, 3) - expected).mean() < 3


def test_an_image_in_memory_carries_its_profile():
    image = many_colours()
    image.info["icc_profile"] = rgb_profile(DISPLAY_P3, None)
    once = open_photo(image)
    assert numpy.abs(pixels(once) - pixels(image)).mean() > 3
    assert numpy.array_equal(pixels(open_photo(once)), pixels(once))  # and not a second time


@pytest.mark.parametrize("profile", [PIL_SRGB, rgb_profile(SRGB, None, "a camera's own name for it")])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_srgb_by_any_name_keeps_every_pixel(profile, kind):
    image = many_colours()
    assert numpy.array_equal(
        pixels(open_photo(encoded(image, kind, icc_profile=profile))), pixels(open_photo(encoded(image, kind)))
    )


def test_a_name_alone_does_not_make_it_srgb():
    image = many_colours()
    linear = rgb_profile(SRGB, 1.0, "sRGB IEC61966-2.1")
    photo = open_photo(encoded(image, "PNG", icc_profile=linear))
    assert pixels(photo).mean() > pixels(image).mean() + 30


def test_large_photographs_are_converted_after_scaling():
    image = Image.new("RGB", (3000, 1500), (60, 200, 60))
    photo = open_photo(encoded(image, "JPEG", quality=95, icc_profile=rgb_profile(ADOBE_RGB, 2.2)))
    assert photo.size == (1024, 512)
    expected = in_srgb(numpy.array([[60, 200, 60]]), ADOBE_RGB, 2.2)
    assert numpy.abs(pixels(photo).reshape(-1, 3) - expected).max() < 4


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_transparency_and_palettes(mode):
    image = Image.new("RGBA", (20, 10), (60, 200, 60, 255))
    profile = rgb_profile(ADOBE_RGB, 2.2)
    if mode == "RGBA":
        image.paste((0, 0, 0, 0), (0, 0, 10, 10))
    photo = pixels(open_photo(encoded(image.convert(mode), "PNG", icc_profile=profile)))
    expected = in_srgb(numpy.array([[60, 200, 60]]), ADOBE_RGB, 2.2)
    assert numpy.abs(photo[5, 15] - expected).max() < 4
    assert mode == "P" or photo[5, 5].tolist() == [255, 255, 255]


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_with_a_profile(mode):
    image = Image.new("LA", (10, 10), (128, 255)).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(numpy.full((10, 10), 128 * 257, numpy.uint16))
    photo = pixels(open_photo(encoded(image, "PNG", icc_profile=grey_profile(1.0))))
    assert photo[5, 5] == pytest.approx([188] * 3, abs=1)  # half the light


def test_a_press_knows_its_inks():
    cyan = Image.new("CMYK", (2048, 1024), (255, 0, 0, 0))
    black = Image.new("CMYK", (10, 10), (0, 0, 0, 255))
    blank = Image.new("CMYK", (10, 10), (0, 0, 0, 0))
    for kind in ("JPEG", "TIFF"):
        photos = [
            pixels(open_photo(encoded(image, kind, icc_profile=cmyk_profile()))) for image in (cyan, black, blank)
        ]
        green = photos[0][5, 5]
        assert green[1] > green[0] + 60
        assert green[1] > green[2]
        assert photos[0].shape == (512, 1024, 3)
        assert photos[1].max() < 12
        assert photos[2].min() > 243
        assert pixels(open_photo(encoded(cyan, kind)))[5, 5].tolist() == pytest.approx([0, 255, 255], abs=3)


def test_profiles_of_other_kinds_of_image_are_ignored():
    for mode, profile in [("RGB", cmyk_profile()), ("RGB", grey_profile(1.0)), ("CMYK", rgb_profile(ADOBE_RGB, 2.2))]:
        image = draw("red", "circle").convert(mode)
        with_profile = open_photo(encoded(image, "TIFF", icc_profile=profile))
        assert numpy.array_equal(pixels(with_profile), pixels(open_photo(encoded(image, "TIFF"))))


def test_broken_profiles_cost_no_photograph():
    image = draw("red", "circle")
    whole, chance = rgb_profile(DISPLAY_P3, None), numpy.random.default_rng(2)
    broken = [b"", b"no profile", whole[:131], whole[:300], bytes(MAXIMUM_PROFILE_BYTES + 1), whole[:-1]]
    for _ in range(40):
        damaged = numpy.frombuffer(whole, numpy.uint8).copy()
        damaged[chance.integers(0, len(damaged), 6)] = chance.integers(0, 256, 6)
        broken.append(damaged.tobytes())
    for profile in broken:
        image.info["icc_profile"] = profile
        assert open_photo(image).size == image.size
    image.info["icc_profile"] = "a text"
    assert open_photo(image).size == image.size
    file = io.BytesIO()
    image.save(file, "JPEG", icc_profile=b"no profile", quality=95)
    assert open_photo(file).size == image.size
