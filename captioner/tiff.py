"""What a TIFF says of itself before it is opened: Pillow makes an object of each strip, however many are claimed.

The format: TIFF 6.0, section 2, and its sibling of 64 bits, https://www.awaresystems.be/imaging/tiff/bigtiff.html
"""

import struct
from typing import BinaryIO

BYTE_ORDERS = {b"II": "<", b"MM": ">"}
BIG = 43  # the version of files of 64 bits
# How the directory's place, the number of its entries, and an entry's tag, type and count are written.
LAYOUTS = {False: ("4xL", "H", "HHL4x"), True: ("8xQ", "Q", "HHQ8x")}
MOST_ENTRIES = 0xFFFF
# Bytes, text, and what has no type: these are taken as they are, be they profiles of several megabytes.
TYPES_OF_BYTES = (1, 2, 6, 7)


def longest_list(file: BinaryIO) -> int:
    """How long the longest list of numbers in a TIFF's first directory is said to be; 0 where it cannot be read.

    That is the list of its strips or tiles, as a rule. The file is left at its start.
    """
    start = file.read(16)
    try:
        order = BYTE_ORDERS[start[:2]]
        (version,) = struct.unpack_from(f"{order}H", start, 2)
        place, number, entry = (struct.Struct(order + layout) for layout in LAYOUTS[version == BIG])
        file.seek(*place.unpack_from(start))
        (entries,) = number.unpack(file.read(number.size))
        listed = file.read(entry.size * min(entries, MOST_ENTRIES))
        whole = listed[: len(listed) // entry.size * entry.size]
        return max((count for _, kind, count in entry.iter_unpack(whole) if kind not in TYPES_OF_BYTES), default=0)
    except (KeyError, struct.error, ValueError, OverflowError, OSError):  # no TIFF, or a damaged one
        return 0
    finally:
        file.seek(0)
