"""Grids of a frozen encoder, kept in memory so that each photograph is encoded once."""

from torch import Tensor


class GridCache:
    """Grids by photograph, as float16, up to a bound; what does not fit is simply not kept.

    Values are rounded to float16 whether kept or not, so that a run does not depend on what was kept.
    """

    def __init__(self, gigabytes: float):
        self._bytes_left = int(gigabytes * 1e9)
        self._grids: dict[int | str, Tensor] = {}

    def __contains__(self, key: int | str) -> bool:
        return key in self._grids

    def keys(self) -> frozenset[int | str]:
        """The photographs whose grids are here."""
        return frozenset(self._grids)

    def get(self, key: int | str) -> Tensor:
        """The grid (C, H, W), float16, on the CPU."""
        return self._grids[key]

    def put(self, key: int | str, grid: Tensor) -> Tensor:
        """Keep a grid (C, H, W) if there is room; return it as float16 on the CPU."""
        half = grid.detach().half().cpu().clone()
        size = half.numel() * half.element_size()
        if key not in self._grids and size <= self._bytes_left:
            self._grids[key] = half
            self._bytes_left -= size
        return half
