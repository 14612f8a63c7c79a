"""Vectors of the choice texts of a split, each distinct text encoded once."""

from dataclasses import replace

import ignite.distributed as idist
import numpy as np
import torch
from torch import Tensor

from vqa_rnn.batch import Batch
from vqa_rnn.data.columns import EncodedQuestions
from vqa_rnn.models import VqaModel

TEXTS_AT_ONCE = 4096


class ChoiceTable:
    """The vectors of all distinct choice texts of a split, for heads that choose among texts.

    Without it, each distinct text would be encoded once per batch, and popular answers of VisDial are choices in every batch.
    The texts are divided among the processes. For other heads the table is empty and batches are not changed.
    """

    def __init__(self, model: VqaModel, encoded: EncodedQuestions, device: torch.device) -> None:
        """Collect the texts. They are encoded by ``fill``.

        Args:
            model: The model.
            encoded: The questions of the split.
            device: Device of the model.
        """
        self._reader = model.text_choices
        self._tokens = encoded.tokens
        self._device = device
        self._texts = np.unique(encoded.choices.values).astype(np.int64) if self._reader is not None else np.empty(0, np.int64)
        self._text_ids = torch.from_numpy(self._texts).to(device)
        self._vectors: Tensor | None = None

    def fill(self) -> None:
        """Encode the texts with the current weights, in evaluation mode."""
        self.clear()
        if self._reader is None or len(self._texts) == 0:
            return
        self._reader.eval()
        # texts of similar length are encoded together, which needs less padding
        order = np.argsort(self._tokens.lengths(self._texts), kind="stable")[idist.get_rank() :: idist.get_world_size()]
        parts = []
        with torch.inference_mode():
            for rows in np.array_split(order, -(-len(order) // TEXTS_AT_ONCE) or 1):
                tokens_UT = torch.from_numpy(self._tokens.padded(self._texts[rows], 0)).to(self._device)
                lengths_U = torch.from_numpy(self._tokens.lengths(self._texts[rows]))
                parts.append(self._reader.encode(tokens_UT, lengths_U))
            mine_UH = torch.cat(parts)
            vectors_UH = mine_UH.new_zeros(len(self._texts), mine_UH.shape[1])
            vectors_UH[torch.from_numpy(order).to(self._device)] = mine_UH
            if idist.get_world_size() > 1:  # in the rows of this process, the others have zeros
                vectors_UH = idist.all_reduce(vectors_UH)  # type: ignore[assignment]
        self._vectors = vectors_UH

    def clear(self) -> None:
        """Delete the vectors."""
        self._vectors = None

    def put_into(self, batch: Batch) -> Batch:
        """Add the vectors of its choice texts to a batch.

        Args:
            batch: A batch of the split, on the device.

        Returns:
            The batch with ``choice_vectors``, or unchanged if there are none.
        """
        if self._vectors is None:
            return batch
        return replace(batch, choice_vectors=self._vectors[torch.searchsorted(self._text_ids, batch.choice_texts)])
