"""The choice texts of a split as vectors, each read once however many questions it is a choice of."""

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
    """What a head that chooses among texts makes of every distinct one of a split.

    A batch reads its own texts once, but VisDial's popular answers are choices in every batch. The processes share the texts of
    a split. For heads that do not choose among texts the table is empty and batches stay as they are.
    """

    def __init__(self, model: VqaModel, encoded: EncodedQuestions, device: torch.device) -> None:
        """Collect the texts; ``fill`` reads them.

        Args:
            model: The model.
            encoded: The questions of the split.
            device: Where the model lives.
        """
        self._reader = model.text_choices
        self._tokens = encoded.tokens
        self._device = device
        self._texts = np.unique(encoded.choices.values).astype(np.int64) if self._reader is not None else np.empty(0, np.int64)
        self._text_ids = torch.from_numpy(self._texts).to(device)
        self._vectors: Tensor | None = None

    def fill(self) -> None:
        """Read the texts with the weights as they are now, in evaluation mode."""
        self.clear()
        if self._reader is None or len(self._texts) == 0:
            return
        self._reader.eval()
        # texts of like lengths go together, so that little padding is looked up
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
            if idist.get_world_size() > 1:  # the others hold zeros in the rows of this process
                vectors_UH = idist.all_reduce(vectors_UH)  # type: ignore[assignment]
        self._vectors = vectors_UH

    def clear(self) -> None:
        """Forget the vectors."""
        self._vectors = None

    def put_into(self, batch: Batch) -> Batch:
        """Give a batch the vectors of its choice texts.

        Args:
            batch: A batch of the split, on the device.

        Returns:
            The batch with ``choice_vectors``.
        """
        if self._vectors is None:
            return batch
        return replace(batch, choice_vectors=self._vectors[torch.searchsorted(self._text_ids, batch.choice_texts)])
