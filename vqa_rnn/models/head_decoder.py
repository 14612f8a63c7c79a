"""The generative head as a decoder, for the methods of ``models.decoding``.

Shape letters: N questions, J joint size, M texts in progress, E embedding size, H state size, K regions, D region size, V words
with the end.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vqa_rnn.models.decoding import DecoderState, Step
from vqa_rnn.models.text_encoder import UNKNOWN_ID
from vqa_rnn.models.word_look import Memory

if TYPE_CHECKING:
    from vqa_rnn.models.generative import GenerativeHead


class HeadDecoder:
    """The decoder of a generative head for some questions, with the images that it looks at."""

    def __init__(self, head: "GenerativeHead", memory: Memory | None, images_N: Tensor) -> None:
        """Combine a head with images.

        Args:
            head: The head.
            memory: The images; None if the head does not look.
            images_N: (N,) int64, the image of each question in ``memory``.
        """
        self._head = head
        self._memory = memory
        self._images_N = images_N

    def of(self, some: slice) -> "HeadDecoder":
        """Return the decoder for a part of the questions.

        Args:
            some: The part.

        Returns:
            The decoder.
        """
        return HeadDecoder(self._head, self._memory, self._images_N[some])

    def start(self, joint_NJ: Tensor) -> tuple[Tensor, DecoderState, Tensor]:
        """Read everything before the first word.

        Args:
            joint_NJ: (N, J) float.

        Returns:
            (N, H) outputs that the first word is predicted from, the state, and the (N, K) weights of the regions.
        """
        head = self._head
        rows_N = torch.arange(len(joint_NJ), device=joint_NJ.device)
        network = head.first_state(joint_NJ)
        if head.conditioning == "first_word":
            nothing_NF = joint_NJ.new_zeros(len(joint_NJ), head.num_more)
            _, network = head.network.step(torch.cat([head.joint_word(joint_NJ), nothing_NF], dim=1), network)
        state = DecoderState(network, head.context(joint_NJ, is_first=True), rows_N)
        outputs_NH, state, weights_NK = self._step(head.start.expand(len(joint_NJ), -1), state)
        return outputs_NH, state._replace(context=head.context(joint_NJ, is_first=False)), weights_NK

    def read(self, words_M: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState, Tensor]:
        """Read a word.

        Args:
            words_M: (M,) int64.
            state: The state before it.

        Returns:
            (M, H) outputs that the next word is predicted from, the state, and the (M, K) weights of the regions.
        """
        return self._step(self._head.embedding(words_M), state)

    def begin(self, context_NJ: Tensor) -> Step:
        """Predict the first word, for the methods of ``models.decoding``.

        Args:
            context_NJ: (N, J) float, the joint vectors.

        Returns:
            The prediction; padding, the unknown word and the end have -inf.
        """
        outputs_NH, state, _ = self.start(context_NJ)
        step = self._next_words(outputs_NH, state)
        step.log_p[:, self._head.end_id] = float("-inf")
        return step

    def go_on(self, words_M: Tensor, state: DecoderState) -> Step:
        """Predict the word after one more word.

        Args:
            words_M: (M,) int64.
            state: State of the decoder before this word.

        Returns:
            The prediction; padding and the unknown word have -inf.
        """
        outputs_MH, state, _ = self.read(words_M, state)
        return self._next_words(outputs_MH, state)

    def _next_words(self, outputs_MH: Tensor, state: DecoderState) -> Step:
        log_p_MV = self._head.logits(outputs_MH).log_softmax(dim=1)
        log_p_MV[:, UNKNOWN_ID] = float("-inf")
        return Step(log_p_MV, state)

    def _step(self, words_ME: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState, Tensor]:
        head = self._head
        words_ME = head.dropout(words_ME)
        inputs = [words_ME, state.context]
        if head.looks_first:
            context_MD, weights_MK = self._look(state.network[0][-1], state)
            inputs.append(context_MD)
        outputs_MH, network = head.network.step(torch.cat(inputs, dim=1), state.network)
        after = DecoderState(network, state.context, state.rows)
        if head.look is None:
            return outputs_MH, after, words_ME.new_zeros(len(words_ME), 0)
        if head.looks_first:
            return outputs_MH + head.context_output(context_MD) + head.word_output(words_ME), after, weights_MK
        context_MD, weights_MK = self._look(outputs_MH, state)
        return outputs_MH + head.context_output(context_MD), after, weights_MK

    def _look(self, states_MH: Tensor, state: DecoderState) -> tuple[Tensor, Tensor]:
        """Return (M, D) contexts and (M, K) weights."""
        assert self._head.look is not None
        assert self._memory is not None
        return self._head.look(states_MH, self._memory, self._images_N.index_select(0, state.rows))
