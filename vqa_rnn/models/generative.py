"""The generative answer head, which generates answers word by word and computes the log-probability of any text.

Shape letters: N questions, B images, J joint size, T tokens, C choices, E embedding size, H state size, L layers, V words with
the end, P pairs of a question and one of its choices, M distinct beginnings of the choices of some questions, A pairs whose
text continues, X distinct pairs of a beginning and its next word.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vqa_rnn.batch import Batch, beside
from vqa_rnn.config import GenerativeHead as GenerativeConfig
from vqa_rnn.dropout import Dropout
from vqa_rnn.models.decoding import DecoderState, Method, Step, Written, greedy, join
from vqa_rnn.models.layers import at_least_float32
from vqa_rnn.models.text_encoder import PADDING_ID, UNKNOWN_ID, TextEncoder
from vqa_rnn.rnn import RecurrentNetwork

PAIRS_AT_ONCE = 2**14  # whose states are in memory together
LOGITS_AT_ONCE = 2**24  # in memory together, where only their sum or the best of them is needed


class GenerativeHead(nn.Module):
    """A recurrent language model of the answer, conditioned on the joint vector of question, image and history.

    The generative decoder of Das et al. 2017 (https://arxiv.org/abs/1611.08669, section 4). It uses the question's word
    embedding. The end of a text is an extra word of the decoder, after the tokenizer's vocabulary; the input before the first
    word is a learned vector. Padding has probability 0, and nothing after the end is counted.

    ``conditioning=first_state``: the first h is ``tanh(W z)`` of the joint vector z, the first c ``W' z``. The paper uses z
    unchanged. ``conditioning=every_step``: the network reads ``[word; z]``, which adds a product with z at every step, like
    ``W_ih v`` in the lecture's captioning model; Karpathy and Fei-Fei 2015 (https://arxiv.org/abs/1412.2306, section 3.2) add
    it at the first step only.

    The loss of a question is the negative log-probability of the true answer with its end, **summed** over the words and not
    averaged, so that long answers weigh more; the mean is over questions. Choices are ranked by the same sum, without length
    normalisation, as in the official VisDial code. In training the head scores only the true answers, otherwise all choices
    (see ``forward``). Questions without choices can only be answered by ``generate``.
    """

    def __init__(
        self, config: GenerativeConfig, joint_size: int, num_answers: int, region_size: int, text_encoder: TextEncoder
    ) -> None:
        super().__init__()
        self.embedding = text_encoder.word_vectors
        word_size = self.embedding.embedding_dim
        self.end_id = self.embedding.num_embeddings
        self.start = nn.Parameter(text_encoder.embedding_std * torch.randn(word_size))  # initialised like a word vector
        self.every_step = config.conditioning == "every_step"
        self.network = RecurrentNetwork(
            config.cell,
            word_size + (joint_size if self.every_step else 0),
            config.hidden_size,
            num_layers=config.num_layers,
            dropout=config.dropout,
            **config.start(),
        )
        self.num_layers = config.num_layers
        if not self.every_step:
            self.project_joint = nn.Linear(joint_size, self.network.num_states * config.num_layers * config.hidden_size)
        self.output = nn.Linear(config.hidden_size, self.end_id + 1)
        self.dropout = Dropout(config.dropout)
        self.max_tokens = config.max_tokens

    def forward(self, joint_NJ: Tensor, regions_BKD: Tensor, batch: Batch) -> Tensor:
        """Compute the log-probability of the true answers in training mode, of all choices in evaluation mode.

        Args:
            joint_NJ: (N, J) float.
            regions_BKD: Unused.
            batch: Provides ``answer_tokens`` and ``answer_lengths`` in training, else the choices.

        Returns:
            In training (N,) float32, the log-probability of each true answer, any value where it is unknown. Otherwise (N, C)
            float32, the log-probability of each choice, -inf where there is no such choice.
        """
        return self.answer_log_p(joint_NJ, batch) if self.training else self.choice_log_p(joint_NJ, batch)

    def answer_log_p(self, joint_NJ: Tensor, batch: Batch) -> Tensor:
        """Compute the log-probability of each true answer, reading all words at once.

        Args:
            joint_NJ: (N, J) float.
            batch: Provides ``answer_tokens`` and ``answer_lengths``.

        Returns:
            (N,) float32 sums over the words and the end.
        """
        tokens_NT, lengths_N = batch.answer_tokens, batch.answer_lengths
        if len(joint_NJ) == 0:
            return at_least_float32(joint_NJ.sum(dim=1))
        words_NTE = torch.cat([self.start.expand(len(tokens_NT), 1, -1), self.embedding(tokens_NT)], dim=1)
        state = self._first_state(joint_NJ)
        inputs_NTE = self._inputs(words_NTE, state.context)
        states_NTH, _ = self.network(inputs_NTE, lengths_N + 1, state.network)
        place_T = torch.arange(inputs_NTE.shape[1])
        is_end_NT = beside(place_T == lengths_N[:, None], tokens_NT)
        next_M = functional.pad(tokens_NT, (0, 1)).masked_fill(is_end_NT, self.end_id).flatten()
        counts = beside((place_T <= lengths_N[:, None]).flatten().nonzero().squeeze(1), tokens_NT)
        logits = self._logits(self.dropout(states_NTH.flatten(0, 1).index_select(0, counts)))
        losses = functional.cross_entropy(logits, next_M[counts], reduction="none")
        return -losses.new_zeros(next_M.shape).index_copy(0, counts, losses).unflatten(0, is_end_NT.shape).sum(dim=1)

    def choice_log_p(self, joint_NJ: Tensor, batch: Batch) -> Tensor:
        """Compute the log-probability of each choice, a few questions at a time to limit memory.

        Args:
            joint_NJ: (N, J) float.
            batch: Provides the choice texts and ``choice_index``.

        Returns:
            (N, C) float32 sums over the words and the end, -inf where there is no such choice.
        """
        index_NC = batch.choice_index
        lengths_U = beside(batch.choice_lengths, index_NC)
        log_p_NC = at_least_float32(joint_NJ).new_full(index_NC.shape, float("-inf"))
        at_once = max(1, PAIRS_AT_ONCE // max(1, index_NC.shape[1]))
        for start in range(0, len(index_NC), at_once):
            some = slice(start, start + at_once)
            exists = index_NC[some] >= 0
            if exists.any():
                question_P, _ = exists.nonzero(as_tuple=True)
                text_P = index_NC[some][exists]
                tokens_PT, lengths_P = batch.choice_tokens[text_P], lengths_U[text_P]
                log_p_NC[some][exists] = self._pair_log_p(joint_NJ[some], question_P, tokens_PT, lengths_P)
        return log_p_NC

    def losses(self, log_p: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute the loss of each question, which is the same in training and from the log-probabilities of all choices.

        Args:
            log_p: Output of ``forward``, (N,) in training, else (N, C).
            batch: Provides ``answer_lengths`` or ``correct_choice``.

        Returns:
            (N,) float32, 0 for questions whose true answer is unknown; and (N,) bool, True for questions whose answer is known.
        """
        if log_p.dim() == 1:
            known_N = beside(batch.answer_lengths > 0, log_p)
        elif log_p.shape[1] == 0:
            log_p, known_N = log_p.sum(dim=1), torch.zeros_like(batch.correct_choice, dtype=torch.bool)
        else:
            known_N = batch.correct_choice >= 0
            log_p = log_p.gather(1, batch.correct_choice.clamp(min=0)[:, None]).squeeze(1)
        return torch.where(known_N, -log_p, 0.0), known_N

    def probabilities(self, log_p_NC: Tensor) -> Tensor:
        """Compute the probability of each choice, given that one of them is the answer.

        Args:
            log_p_NC: (N, C) float32, -inf where there is no such choice.

        Returns:
            (N, C) float32; rows sum to 1.
        """
        return log_p_NC.softmax(dim=1)

    def question_scores(self, log_p_NC: Tensor, batch: Batch) -> Tensor:
        """Return whether the top choice is correct.

        Args:
            log_p_NC: (N, C) float32.
            batch: Provides ``correct_choice``.

        Returns:
            (N,) float32, 1 or 0.
        """
        if log_p_NC.shape[1] == 0:
            return log_p_NC.new_zeros(log_p_NC.shape[0])
        return (log_p_NC.argmax(dim=1) == batch.correct_choice).float()

    def generate(self, joint_NJ: Tensor, method: Method = greedy) -> Written:
        """Generate an answer to each question; the head must be in evaluation mode.

        The unknown word is never generated, and no text is empty, like those that the tokenizer encodes. A text ends after
        ``max_tokens`` words at the latest.

        Args:
            joint_NJ: (N, J) float.
            method: How words are chosen: ``greedy``, or a ``partial`` of ``draw`` or ``beam_search``.

        Returns:
            The texts and their log-probabilities, which equal those that ``forward`` computes for the texts as choices.
        """
        at_once = max(1, LOGITS_AT_ONCE // (8 * self.output.out_features))
        parts = [method(self, some, self.max_tokens) for some in joint_NJ.split(at_once) if len(some)]
        return join(parts, joint_NJ.device)

    def begin(self, context_NJ: Tensor) -> Step:
        """Predict the first word, for ``generate``.

        Args:
            context_NJ: (N, J) float, the joint vectors.

        Returns:
            The prediction; padding, the unknown word and the end have -inf.
        """
        states_NH, state = self._begin(context_NJ)
        step = self._next_words(states_NH, state)
        step.log_p[:, self.end_id] = float("-inf")
        return step

    def go_on(self, words_M: Tensor, state: DecoderState) -> Step:
        """Predict the word after one more word, for ``generate``.

        Args:
            words_M: (M,) int64.
            state: State of the decoder before this word.

        Returns:
            The prediction; padding and the unknown word have -inf.
        """
        return self._next_words(*self._go_on(words_M, state))

    def _next_words(self, states_MH: Tensor, state: DecoderState) -> Step:
        log_p_MV = self._logits(states_MH).log_softmax(dim=1)
        log_p_MV[:, UNKNOWN_ID] = float("-inf")
        return Step(log_p_MV, state)

    def _first_state(self, joint_NJ: Tensor) -> DecoderState:
        """Return the state before anything is read."""
        if self.every_step:
            return DecoderState(self.network.begin(len(joint_NJ)), joint_NJ)
        projected_LNH = self.project_joint(joint_NJ).unflatten(1, (-1, self.network.hidden_size)).transpose(0, 1)
        outputs_LNH, *cells_LNH = projected_LNH.split(self.num_layers)
        return DecoderState((outputs_LNH.tanh(), *cells_LNH), joint_NJ[:, :0])

    def _begin(self, joint_NJ: Tensor) -> tuple[Tensor, DecoderState]:
        """Return (N, H) outputs that the first word is predicted from, and the state after reading the start vector."""
        return self._read(self.start.expand(len(joint_NJ), -1), self._first_state(joint_NJ))

    def _go_on(self, words_M: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        return self._read(self.embedding(words_M), state)

    def _read(self, words_ME: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        inputs_ME = self._inputs(words_ME.unsqueeze(1), state.context).squeeze(1)
        states_MH, network = self.network.step(inputs_ME, state.network)
        return states_MH, DecoderState(network, state.context)

    def _inputs(self, words_NTE: Tensor, told_NJ: Tensor) -> Tensor:
        words_NTE = self.dropout(words_NTE)
        if told_NJ.shape[1] == 0:
            return words_NTE
        return torch.cat([words_NTE, told_NJ.unsqueeze(1).expand(-1, words_NTE.shape[1], -1)], dim=2)

    def _logits(self, states_MH: Tensor) -> Tensor:
        """Return (M, V) float32 logits, -inf for padding."""
        bias_V = torch.cat([self.output.bias.new_full((PADDING_ID + 1,), float("-inf")), self.output.bias[PADDING_ID + 1 :]])
        return at_least_float32(functional.linear(states_MH, self.output.weight, bias_V))

    def _pair_log_p(self, joint_NJ: Tensor, question_P: Tensor, tokens_PT: Tensor, lengths_P: Tensor) -> Tensor:
        """Return (P,) log-probabilities of texts for questions; each distinct beginning of a question's texts is read once.

        The choices of a question form a tree of words. At depth t, all beginnings of t words are extended by one word together.
        """
        tokens_PT = functional.pad(tokens_PT, (0, 1))
        states_MH, state = self._begin(joint_NJ)
        total_P = at_least_float32(states_MH).new_zeros(len(question_P))
        pair_A, beginning_A = torch.arange(len(question_P), device=question_P.device), question_P
        for depth in range(tokens_PT.shape[1]):
            word_A = torch.where(lengths_P[pair_A] == depth, self.end_id, tokens_PT[pair_A, depth])
            steps_X, step_A = torch.unique(beginning_A * (self.end_id + 1) + word_A, return_inverse=True)
            beginning_X, word_X = steps_X // (self.end_id + 1), steps_X % (self.end_id + 1)
            total_P[pair_A] += self._step_log_p(states_MH, beginning_X, word_X)[step_A]
            goes_on_X = word_X != self.end_id
            goes_on_A = goes_on_X[step_A]
            pair_A = pair_A[goes_on_A]
            if len(pair_A) == 0:
                break
            beginning_A = (goes_on_X.cumsum(dim=0) - 1)[step_A[goes_on_A]]
            states_MH, state = self._go_on(word_X[goes_on_X], state.pick(beginning_X[goes_on_X]))
        return total_P

    def _step_log_p(self, states_MH: Tensor, beginning_X: Tensor, word_X: Tensor) -> Tensor:
        """Return (X,) log-probabilities of a word after a beginning, with a bounded number of logits in memory."""
        at_once = max(1, LOGITS_AT_ONCE // self.output.out_features)
        normaliser_M = torch.cat([self._logits(some).logsumexp(dim=1) for some in states_MH.split(at_once)])
        logit_X = (states_MH[beginning_X] * self.output.weight[word_X]).sum(dim=1) + self.output.bias[word_X]
        return at_least_float32(logit_X) - normaliser_M[beginning_X]
