"""Writing text with a language model, entry by entry."""

from collections.abc import Iterator

import torch

from vqa_rnn.sequences.language_model import LanguageModel


def sample(
    model: LanguageModel,
    prefix: torch.Tensor,
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[int]:
    """Continue a text: each entry is drawn, and read as the next input.

    Args:
        model: The model, in evaluation mode.
        prefix: (M,) int64 entries to read first; M at least 1.
        length: Number of entries to write.
        temperature: What the logits are divided by: below 1 the text becomes more likely and more repetitive; 0 takes the most
            likely entry at each step.
        top_k: Draw only from this many most likely entries; None draws from all.
        generator: The random numbers, on the device of the model.

    Yields:
        The numbers of the entries, without the prefix.

    Raises:
        ValueError: The prefix is empty, the temperature is negative, or ``top_k`` is below 1.
    """
    if not len(prefix):
        raise ValueError("the prefix is empty: give at least one entry")
    if temperature < 0:
        raise ValueError(f"the temperature is {temperature}: it must be 0 or above")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k is {top_k}: it must be at least 1")
    with torch.inference_mode():
        logits_1MV, state = model(prefix[None])
        for _ in range(length):
            entry_1 = _choose(logits_1MV[:, -1].float(), temperature, top_k, generator)
            yield int(entry_1)
            logits_1MV, state = model(entry_1[:, None], state)


def _choose(logits_1V: torch.Tensor, temperature: float, top_k: int | None, generator: torch.Generator | None) -> torch.Tensor:
    """(1,) int64, one entry."""
    if temperature == 0:
        return logits_1V.argmax(dim=1)
    if top_k is not None and top_k < logits_1V.shape[1]:
        lowest = logits_1V.topk(top_k, dim=1).values[:, -1:]
        logits_1V = logits_1V.masked_fill(logits_1V < lowest, float("-inf"))
    return torch.multinomial((logits_1V / temperature).softmax(dim=1), 1, generator=generator).squeeze(1)
