"""Text generation word by word: greedy, by sampling, by beam search.

Each method takes a decoder, which predicts the next word, and generates one text for each of N contexts. The log-probability of
a text includes its end and is not normalised by length. A text that reaches the maximum number of words has to end there, and
the log-probability of the end counts as usual, so that any two texts of a context can be compared.

Shape letters: N contexts, J context size, M texts in progress, V words with the end, W width of the beam, T words of a text.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from vqa_rnn.models.text_encoder import PADDING_ID


class DecoderState(NamedTuple):
    """State of a decoder in each of M texts.

    Attributes:
        network: States of the recurrent network, each (L, M, H).
        context: (M, J) float, the context that is read at every step; J is 0 if there is none.
        rows: (M,) int64, which of the N contexts each text belongs to.
    """

    network: tuple[Tensor, ...]
    context: Tensor
    rows: Tensor

    def pick(self, rows: Tensor) -> "DecoderState":
        """Select the state of some texts.

        Args:
            rows: (P,) int64, indices of texts; they may repeat.

        Returns:
            The state of P texts.
        """
        network = tuple(part.index_select(1, rows) for part in self.network)
        return DecoderState(network, self.context.index_select(0, rows), self.rows.index_select(0, rows))


class Step(NamedTuple):
    """Prediction of the next word.

    Attributes:
        log_p: (M, V) float, log-probability of each word, -inf for a word that must not be generated. The last is the end.
        state: State of the decoder.
    """

    log_p: Tensor
    state: DecoderState


class Decoder(Protocol):
    """Interface of a decoder."""

    def begin(self, context_NJ: Tensor) -> Step:
        """Predict the first word.

        Args:
            context_NJ: (N, J) float.

        Returns:
            The prediction for N texts.
        """
        ...

    def go_on(self, words_M: Tensor, state: DecoderState) -> Step:
        """Predict the word after one more word.

        Args:
            words_M: (M,) int64, the word just generated; padding where a text has ended, whose state is no longer used.
            state: State of the decoder before this word.

        Returns:
            The prediction for the same texts.
        """
        ...


class Written(NamedTuple):
    """Generated texts.

    Attributes:
        tokens: (N, T) int64, without the end, padded on the right with 0.
        lengths: (N,) int64.
        log_p: (N,) float, log-probability of each text, including its end.
    """

    tokens: Tensor
    lengths: Tensor
    log_p: Tensor


Method = Callable[[Decoder, Tensor, int], Written]
"""Generates texts from a decoder, (N, J) contexts and the maximum number of words: ``greedy``, or a ``partial`` of ``draw`` or
``beam_search``."""


def greedy(decoder: Decoder, context_NJ: Tensor, max_tokens: int) -> Written:
    """Generate the most probable next word at each step.

    Args:
        decoder: The decoder.
        context_NJ: (N, J) float.
        max_tokens: Maximum number of words in a text.

    Returns:
        The texts.
    """
    return _write(decoder, context_NJ, max_tokens, lambda log_p_NV: log_p_NV.argmax(dim=1))


def draw(
    decoder: Decoder, context_NJ: Tensor, max_tokens: int, *, temperature: float = 1.0, generator: torch.Generator | None = None
) -> Written:
    """Sample each next word from ``softmax(log p / temperature)``.

    Args:
        decoder: The decoder.
        context_NJ: (N, J) float.
        max_tokens: Maximum number of words in a text.
        temperature: 1 samples from the decoder's probabilities; towards 0 the result becomes that of ``greedy``.
        generator: Random number generator on the same device; None uses torch's global one. A text also depends on the other
            contexts of the call.

    Returns:
        The texts; their log-probabilities are those at temperature 1.

    Raises:
        ValueError: If the temperature is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")

    def choose(log_p_NV: Tensor) -> Tensor:
        return torch.multinomial((log_p_NV / temperature).softmax(dim=1), 1, generator=generator).squeeze(1)

    return _write(decoder, context_NJ, max_tokens, choose)


def beam_search(decoder: Decoder, context_NJ: Tensor, max_tokens: int, *, width: int) -> Written:
    """Search with a beam, and also keep the greedy text as a hypothesis.

    A raw beam may drop the greedy text although it would have been the most probable one in the end. Here the result is never
    less probable than the greedy text.

    Args:
        decoder: The decoder.
        context_NJ: (N, J) float.
        max_tokens: Maximum number of words in a text.
        width: Number of hypotheses that are kept at each word.

    Returns:
        The more probable of the two texts for each context.
    """
    beam, first = raw_beam_search(decoder, context_NJ, max_tokens, width=width), greedy(decoder, context_NJ, max_tokens)
    wins_N = first.log_p > beam.log_p
    longest = max(beam.tokens.shape[1], first.tokens.shape[1])
    tokens_NT = torch.where(wins_N[:, None], _widen(first.tokens, longest), _widen(beam.tokens, longest))
    return _trim(tokens_NT, torch.where(wins_N, first.lengths, beam.lengths), torch.where(wins_N, first.log_p, beam.log_p))


def raw_beam_search(decoder: Decoder, context_NJ: Tensor, max_tokens: int, *, width: int) -> Written:
    """Search with a beam: keep the ``width`` most probable hypotheses at each word.

    A text that ends leaves its place in the beam empty. Log-probabilities only decrease, so a hypothesis that is not more
    probable than a text that has ended is dropped. A width of 1 equals ``greedy``.

    Args:
        decoder: The decoder.
        context_NJ: (N, J) float.
        max_tokens: Maximum number of words in a text.
        width: Number of hypotheses that are kept at each word.

    Returns:
        The most probable text found for each context.
    """
    num_contexts = len(context_NJ)
    log_p, state = decoder.begin(context_NJ)
    num_words = log_p.shape[1]
    end = num_words - 1
    origin_NW = torch.arange(num_contexts, device=log_p.device)[:, None].expand(-1, width)
    log_p, state = log_p[origin_NW], state.pick(origin_NW.flatten())
    total_NW = log_p.new_full((num_contexts, width), float("-inf"))
    total_NW[:, 0] = 0.0  # before the first word all hypotheses are the same: one is enough
    tokens_NWT = origin_NW.new_zeros(num_contexts, width, 0)
    nothing_N = torch.zeros_like(origin_NW[:, 0])
    best = Written(nothing_N[:, None][:, :0], nothing_N, torch.full_like(total_NW[:, 0], float("-inf")))
    for length in range(max_tokens + 1):
        if length == max_tokens:
            log_p[:, :, :end] = float("-inf")
        total_NW, place_NW = (total_NW[:, :, None] + log_p).flatten(1).topk(width, dim=1)
        parent_NW, word_NW = place_NW // num_words, place_NW % num_words
        tokens_NWT = tokens_NWT.gather(1, parent_NW[:, :, None].expand(-1, -1, length))
        ends_NW = word_NW == end
        best = _better(best, tokens_NWT, total_NW.masked_fill(~ends_NW, float("-inf")))
        total_NW = total_NW.masked_fill(ends_NW | (total_NW <= best.log_p[:, None]), float("-inf"))
        if length == max_tokens or not total_NW.isfinite().any():
            break
        word_NW = word_NW.masked_fill(ends_NW, PADDING_ID)
        tokens_NWT = torch.cat([tokens_NWT, word_NW[:, :, None]], dim=2)
        rows = origin_NW * width + parent_NW
        flat_log_p, state = decoder.go_on(word_NW.flatten(), state.pick(rows.flatten()))
        log_p = flat_log_p.unflatten(0, (num_contexts, width))
    return _trim(*best)


def join(parts: Sequence[Written], device: torch.device) -> Written:
    """Concatenate several sets of texts.

    Args:
        parts: The sets; there may be none.
        device: The device of the result if there are none.

    Returns:
        All texts, in the order of ``parts``.
    """
    if not parts:
        none = torch.zeros(0, dtype=torch.int64, device=device)
        return Written(none.new_zeros(0, 0), none, none.float())
    longest = max(part.tokens.shape[1] for part in parts)
    tokens_NT = torch.cat([_widen(part.tokens, longest) for part in parts])
    return Written(tokens_NT, torch.cat([part.lengths for part in parts]), torch.cat([part.log_p for part in parts]))


def _write(decoder: Decoder, context_NJ: Tensor, max_tokens: int, choose: Callable[[Tensor], Tensor]) -> Written:
    """Generate one text per context; ``choose`` selects a word for each from (N, V) log-probabilities."""
    log_p_NV, state = decoder.begin(context_NJ)
    end = log_p_NV.shape[1] - 1
    total_N = log_p_NV.new_zeros(len(log_p_NV))
    lengths_N = torch.zeros_like(total_N, dtype=torch.int64)
    going_on_N = torch.ones_like(total_N, dtype=torch.bool)
    words: list[Tensor] = []
    for length in range(max_tokens + 1):
        word_N = choose(log_p_NV) if length < max_tokens else torch.full_like(lengths_N, end)
        total_N = total_N + torch.where(going_on_N, log_p_NV.gather(1, word_N[:, None]).squeeze(1), 0.0)
        going_on_N = going_on_N & (word_N != end)
        if not going_on_N.any():
            break
        words.append(word_N.masked_fill(~going_on_N, PADDING_ID))
        lengths_N = lengths_N + going_on_N
        log_p_NV, state = decoder.go_on(words[-1], state)
    tokens_NT = torch.stack(words, dim=1) if words else lengths_N.new_zeros(len(lengths_N), 0)
    return Written(tokens_NT, lengths_N, total_N)


def _better(best: Written, tokens_NWT: Tensor, ended_NW: Tensor) -> Written:
    """Return the better of the best text that ended before and the best that ends now, which has T words."""
    log_p_N, slot_N = ended_NW.max(dim=1)
    length = tokens_NWT.shape[2]
    tokens_NT = tokens_NWT.take_along_dim(slot_N[:, None, None], dim=1).squeeze(1)
    better_N = log_p_N > best.log_p
    return Written(
        torch.where(better_N[:, None], tokens_NT, _widen(best.tokens, length)),
        best.lengths.masked_fill(better_N, length),
        torch.where(better_N, log_p_N, best.log_p),
    )


def _widen(tokens_NT: Tensor, longest: int) -> Tensor:
    return functional.pad(tokens_NT, (0, longest - tokens_NT.shape[1]), value=PADDING_ID)


def _trim(tokens_NT: Tensor, lengths_N: Tensor, log_p_N: Tensor) -> Written:
    return Written(tokens_NT[:, : int(lengths_N.max()) if len(lengths_N) else 0], lengths_N, log_p_N)
