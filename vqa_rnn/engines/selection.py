"""The best model on validation, and when to stop."""

from collections.abc import Mapping
from typing import Any


class KeepBest:
    """Tells whether a validation score is the best so far, and when it has not risen for too long.

    Of equal scores the later counts as best: its learning rate is the lower one.

    Attributes:
        best_score: The best validation score, or None before the first.
        best_epoch: When it was, for the last time.
        risen_epoch: When it was first reached.
        epoch: The last epoch that was validated.
    """

    def __init__(self, patience: int | None) -> None:
        """Nothing seen yet.

        Args:
            patience: Epochs without a higher score before training stops, or None.
        """
        self._patience = patience
        self.best_score: float | None = None
        self.best_epoch = 0
        self.risen_epoch = 0
        self.epoch = 0

    def update(self, epoch: int, score: float | None) -> bool:
        """Take in the score of an epoch.

        Args:
            epoch: The epoch.
            score: Validation score, higher is better; None where nothing is validated, and the last epoch is the best.

        Returns:
            Whether it is the best so far.
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
        """What a resume needs.

        Returns:
            Plain values.
        """
        names = ("best_score", "best_epoch", "risen_epoch", "epoch")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict``.

        Args:
            state: What it gave.
        """
        for name, value in state.items():
            setattr(self, name, value)
