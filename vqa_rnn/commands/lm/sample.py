"""``vqa-rnn lm sample``: text written by a language model."""

import logging

import torch

from vqa_rnn.errors import UserError
from vqa_rnn.sequences.language_model import LanguageModel
from vqa_rnn.sequences.language_run import LanguageRun, vocabulary_of
from vqa_rnn.sequences.sampling import sample

log = logging.getLogger("vqa_rnn")


def continue_text(
    run: LanguageRun,
    model: LanguageModel,
    prefix: str,
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
) -> str:
    """Continue a text.

    Args:
        run: The run.
        model: Its model; it is put into evaluation mode.
        prefix: The start of the text. If it is empty, the text starts as after a line end, or with the first entry of the
            vocabulary if that has no line end.
        length: Number of characters or words to write.
        temperature: As in ``sequences.sampling.sample``.
        top_k: As in ``sequences.sampling.sample``.
        seed: Seed of the random numbers.

    Returns:
        The prefix and its continuation.

    Raises:
        UserError: The prefix has a character that the model does not know.
    """
    model.eval()
    device = model.output.weight.device
    vocabulary = vocabulary_of(run)
    start = prefix or ("\n" if "\n" in vocabulary.entries else vocabulary.entries[-1])
    try:
        entries = torch.from_numpy(vocabulary.encode(start)).long().to(device)
    except UserError as error:
        raise UserError(f"the prefix cannot be read: {error}") from None
    unknown = [text for text in vocabulary.split(prefix) if vocabulary.unit == "words" and text not in vocabulary.entries]
    if unknown:
        log.warning("read as the unknown word: %s", ", ".join(text.strip() for text in unknown))
    generator = torch.Generator(device).manual_seed(seed)
    numbers = sample(model, entries, length, temperature=temperature, top_k=top_k, generator=generator)
    return prefix + "".join(vocabulary.entries[number] for number in numbers)
