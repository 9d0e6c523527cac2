"""Decodes a HEIC: run as a script, it reads one from standard input and writes a TIFF to standard output.

It imports nothing of Captioner, so that it starts quickly.
"""

import io
import sys

# Of memory that may be asked for; enough for the largest photographs that are taken.
MOST_BYTES = 1_500_000_000
# A larger picture is averaged down by a whole number, as `pixels.py` would then do itself.
KEPT_SIDE = 2048


def main() -> int:
    """Decode; the exit status is 1, with the reason on standard error, if that cannot be done."""
    bound_memory()
    try:
        tiff = to_tiff(sys.stdin.buffer.read())
    except Exception as error:  # decoders raise many types on damaged data
        print(" ".join(str(error).split()) or type(error).__name__, file=sys.stderr)
        return 1
    sys.stdout.buffer.write(tiff)
    return 0


def bound_memory() -> None:
    """Let this process ask for no more than MOST_BYTES, where the system can see to that."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    except (ImportError, ValueError, OSError):  # on Windows, or where less is allowed already
        return


def to_tiff(data: bytes) -> bytes:
    """The main picture: its own turns undone, so that its EXIF orientation counts no more and is left out."""
    from pi_heif import HeifImageFile  # not through Pillow, so that nothing must be registered there

    with HeifImageFile(io.BytesIO(data)) as image:
        image.load()
        profile = image.info.get("icc_profile")
        picture = image.convert({"RGBa": "RGBA", "La": "LA"}.get(image.mode, image.mode))
    picture = picture.reduce(max(1, max(picture.size) // KEPT_SIDE))
    picture.info = {}
    file = io.BytesIO()
    picture.save(file, "TIFF", **({"icc_profile": profile} if profile else {}))
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(main())
