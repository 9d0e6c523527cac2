"""How far a run has come."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Progress:
    """How far a run has come; travels in its last checkpoint."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    best: float = -1.0
    seconds: float = 0.0
    log: list[dict[str, Any]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)  # what was wrong with photographs that could not be decoded

    def next_epoch(self) -> None:
        """Stand at the start of the next epoch."""
        self.epoch, self.batch, self.loss_sum, self.loss_count = self.epoch + 1, 0, 0.0, 0
