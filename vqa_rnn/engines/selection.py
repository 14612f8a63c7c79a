"""Selection of the best epoch by its validation score, and early stopping."""

from collections.abc import Mapping
from typing import Any


class KeepBest:
    """Keeps the best validation score, and decides when to stop early.

    If several epochs have the same score, the last one counts as best, since learning rates usually decay.

    Attributes:
        best_score: The best validation score; None before the first one.
        best_epoch: The last epoch with the best score.
        risen_epoch: The first epoch with the best score.
        epoch: The last finished epoch.
    """

    def __init__(self, patience: int | None) -> None:
        """Start without a score.

        Args:
            patience: Epochs without a higher score before training stops; None never stops early.
        """
        self._patience = patience
        self.best_score: float | None = None
        self.best_epoch = 0
        self.risen_epoch = 0
        self.epoch = 0

    def update(self, epoch: int, score: float | None) -> bool:
        """Add the score of an epoch.

        Args:
            epoch: The epoch.
            score: Validation score, higher is better. None without validation: then the last epoch is the best.

        Returns:
            Whether the epoch is the best so far.
        """
        self.epoch = epoch
        if score is None:
            return True
        if self.best_score is None or score > self.best_score:
            self.best_score, self.risen_epoch = score, epoch
        if score == self.best_score:
            self.best_epoch = epoch
        return score == self.best_score

    @property
    def is_over(self) -> bool:
        """Whether patience has run out; always False without patience."""
        return self._patience is not None and self.epoch - self.risen_epoch >= self._patience

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a resume.

        Returns:
            Plain values by name.
        """
        names = ("best_score", "best_epoch", "risen_epoch", "epoch")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state.

        Args:
            state: From ``state_dict``.
        """
        for name, value in state.items():
            setattr(self, name, value)
