"""Colour profiles made for the tests, and what they should do."""

import struct

import numpy

# X, Y and Z of red, green and blue under D50, the light that profiles speak of.
SRGB = numpy.array([[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.71410]])
DISPLAY_P3 = numpy.array([[0.51512, 0.24120, -0.00105], [0.29198, 0.69225, 0.04189], [0.15710, 0.06657, 0.78407]])
ADOBE_RGB = numpy.array([[0.60974, 0.31111, 0.01947], [0.20528, 0.62567, 0.06087], [0.14919, 0.06322, 0.74457]])


def fixed(*values: float) -> bytes:
    """Numbers as a profile writes them, with 16 bits behind the point."""
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def curve(gamma: float | None) -> bytes:
    """A tone curve: a power, or that of sRGB."""
    if gamma is not None:
        return b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256))
    return b"para" + struct.pack(">IHH", 0, 3, 0) + fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def assemble(space: bytes, device: bytes, tags: dict[bytes, bytes], connection: bytes = b"XYZ ") -> bytes:
    """A profile, version 2.4, of its tags."""
    light = fixed(0.9642, 1, 0.8249)
    tags = {b"wtpt": b"XYZ " + bytes(4) + light, b"cprt": b"text" + bytes(4) + b"none\0"} | tags
    place, table, bodies = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        table += name + struct.pack(">II", place + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    head = struct.pack(
        ">I4sI4s4s4s12s4s", place + len(bodies), b"", 0x02400000, device, space, connection, b"", b"acsp"
    )
    return (head + bytes(28) + light).ljust(128, b"\0") + table + bodies


def description(text: str) -> dict[bytes, bytes]:
    """The tag that names a profile."""
    ascii_text = text.encode() + b"\0"
    return {b"desc": b"desc" + struct.pack(">II", 0, len(ascii_text)) + ascii_text + bytes(78)}


def rgb_profile(colorants: numpy.ndarray, gamma: float | None, name: str = "a screen") -> bytes:
    """A profile of three primaries and a tone curve, which is that of sRGB where `gamma` is None."""
    tags = {
        key: b"XYZ " + bytes(4) + fixed(*row) for key, row in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True)
    }
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve(gamma))
    return assemble(b"RGB ", b"mntr", tags | description(name))


def grey_profile(gamma: float) -> bytes:
    """A profile of grey."""
    return assemble(b"GRAY", b"mntr", {b"kTRC": curve(gamma)} | description("a grey"))


def cmyk_profile() -> bytes:
    """A profile of a press whose cyan, alone, prints as a middle green, and all of whose other inks are black."""
    green, black, white = (140, 70, 180), (0, 128, 128), (255, 128, 128)  # L, a and b in bytes
    corners = [white if not inks else green if inks == 8 else black for inks in range(16)]
    ramp = bytes(range(256))
    body = b"mft1" + struct.pack(">IBBBB", 0, 4, 3, 2, 0) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    body += ramp * 4 + bytes(value for corner in corners for value in corner) + ramp * 3
    tags = dict.fromkeys((b"A2B0", b"A2B1"), body)
    return assemble(b"CMYK", b"prtr", tags | description("a press"), b"Lab ")


def in_srgb(colours: numpy.ndarray, colorants: numpy.ndarray, gamma: float | None) -> numpy.ndarray:
    """Colours (N, 3), 0 to 255, of a profile, as sRGB: the arithmetic of the standard."""
    values = colours / 255
    low = values <= 0.04045
    linear = values**gamma if gamma else numpy.where(low, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    linear = (linear @ colorants @ numpy.linalg.inv(SRGB)).clip(0, 1)
    return 255 * numpy.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
