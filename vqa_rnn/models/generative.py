"""The generative answer head, which generates answers and captions word by word and computes the log-probability of any text.

Shape letters: N questions, B images, J joint size, T tokens, C choices, E embedding size, H state size, L layers, V words with
the end, K regions, D region size, P pairs of a question and one of its choices, M texts in progress or distinct beginnings of
the choices of some questions, A pairs whose text continues, X distinct pairs of a beginning and its next word.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vqa_rnn.batch import Batch, beside
from vqa_rnn.config import GenerativeHead as GenerativeConfig
from vqa_rnn.dropout import Dropout
from vqa_rnn.models.decoding import Method, Written, draw, greedy, join
from vqa_rnn.models.head_decoder import HeadDecoder
from vqa_rnn.models.layers import at_least_float32
from vqa_rnn.models.text_encoder import PADDING_ID, UNKNOWN_ID, TextEncoder
from vqa_rnn.models.word_look import WordLook
from vqa_rnn.rnn import RecurrentNetwork

PAIRS_AT_ONCE = 2**14  # whose states are in memory together
LOGITS_AT_ONCE = 2**24  # in memory together, where only their sum or the best of them is needed

Reward = Callable[[Tensor, Tensor, Tensor], Tensor]
"""The reward of texts: (N, T) tokens, (N,) lengths and the (N,) indices of their images in the split, to (N,) float."""


class Scored(NamedTuple):
    """Texts scored word by word.

    Attributes:
        log_p: (N,) float, log-probability of each text with its end.
        weights: (N, T + 1, K) float, the weights of the regions before each word and before the end, 0 after it; K is 0
            without attention.
    """

    log_p: Tensor
    weights: Tensor


class GenerativeHead(nn.Module):
    """A recurrent language model of the answer, conditioned on the joint vector of question, image and history.

    The generative decoder of Das et al. 2017 (https://arxiv.org/abs/1611.08669, section 4). It uses the question's word
    embedding. The end of a text is an extra word of the decoder, after the tokenizer's vocabulary; the input before the first
    word is a learned vector. Padding has probability 0, and nothing after the end is counted.

    The joint vector z enters in one of four ways:

    - ``first_state``: the first h is ``tanh(W z)``, the first c ``W' z``. Das et al. use z unchanged.
    - ``first_word``: ``W z`` is read as a word before all others (Vinyals et al. 2015, https://arxiv.org/abs/1411.4555).
    - ``first_step``: the network reads ``[start; z]`` first and ``[word; 0]`` after it, so that ``W z`` is added in the first
      step only (Karpathy and Fei-Fei 2015, https://arxiv.org/abs/1412.2306, section 3.2).
    - ``every_step``: the network reads ``[word; z]``, which adds a product with z at every step, like ``W_ih v`` in the
      lecture's captioning model.

    With ``look=soft`` the state before the last word looks at the regions, and the decoder reads ``[word; context]``
    (``models.word_look``). The next word is predicted from ``h + W_z context + W_e word``, the deep output layer of Xu et al.
    2015 (equation 7) without its last product. With ``look=spatial`` the state h after the last word looks, so that it knows
    the whole text so far; the next word is predicted from ``h + W_z context`` (Lu et al. 2017,
    https://arxiv.org/abs/1612.01887, section 2.2; without the sentinel of section 2.3).

    The loss of a question is the negative log-probability of the true answer with its end, **summed** over the words and not
    averaged, so that long answers weigh more; the mean is over questions. Choices are ranked by the same sum, without length
    normalisation, as in the official VisDial code. In training the head scores only the true answers, otherwise all choices
    (see ``forward``). Questions without choices can only be answered by ``generate``.

    ``reward``, what ``objective=self_critical`` optimises, is set before training.
    """

    steps_trained: Tensor

    def __init__(
        self, config: GenerativeConfig, joint_size: int, num_answers: int, region_size: int, text_encoder: TextEncoder
    ) -> None:
        super().__init__()
        self.embedding = text_encoder.word_vectors
        word_size = self.embedding.embedding_dim
        self.end_id = self.embedding.num_embeddings
        self.start = nn.Parameter(text_encoder.embedding_std * torch.randn(word_size))  # initialised like a word vector
        self.conditioning = config.conditioning
        reads_joint = config.conditioning in ("first_step", "every_step")
        self.looks_first = config.look == "soft"
        self.num_more = (joint_size if reads_joint else 0) + (region_size if self.looks_first else 0)  # inputs besides the word
        self.network = RecurrentNetwork(
            config.cell,
            word_size + self.num_more,
            config.hidden_size,
            num_layers=config.num_layers,
            dropout=config.dropout,
            **config.start(),
        )
        self.num_layers = config.num_layers
        if config.conditioning == "first_state":
            self.project_joint = nn.Linear(joint_size, self.network.num_states * config.num_layers * config.hidden_size)
        if config.conditioning == "first_word":
            self.joint_word = nn.Linear(joint_size, word_size)
        self.look = None if config.look == "none" else WordLook(region_size, config.hidden_size, config.look_size)
        if self.look is not None:
            self.context_output = nn.Linear(region_size, config.hidden_size, bias=False)
        if self.looks_first:
            self.word_output = nn.Linear(word_size, config.hidden_size, bias=False)
        self.output = nn.Linear(config.hidden_size, self.end_id + 1)
        self.dropout = Dropout(config.dropout)
        self.max_tokens = config.max_tokens
        self.coverage = config.coverage
        self.objective = config.objective
        self.reward: Reward | None = None
        self.sampling, self.sampling_steps = config.scheduled_sampling, config.scheduled_sampling_steps
        if self.sampling > 0:
            self.register_buffer("steps_trained", torch.zeros((), dtype=torch.int64))

    def forward(self, joint_NJ: Tensor, regions_BKD: Tensor, batch: Batch) -> Tensor:
        """Compute the log-probability of the true answers in training mode, of all choices in evaluation mode.

        Args:
            joint_NJ: (N, J) float.
            regions_BKD: (B, K, D) float, the regions to look at.
            batch: Provides ``answer_tokens`` and ``answer_lengths`` in training, else the choices.

        Returns:
            In training (N,) float32, the log-probability of each true answer, any value where it is unknown; with
            ``objective=self_critical`` the reward of a sampled text, with the gradient of the policy. Otherwise (N, C) float32,
            the log-probability of each choice, -inf where there is no such choice.
        """
        if not self.training:
            return self.choice_log_p(joint_NJ, regions_BKD, batch)
        if len(joint_NJ) == 0:
            return at_least_float32(joint_NJ.sum(dim=1))
        if self.objective == "self_critical":
            return self._rewards(joint_NJ, regions_BKD, batch)
        if self.look is None and self.sampling == 0:
            return self.answer_log_p(joint_NJ, regions_BKD, batch)
        log_p_N, weights_NTK = self.score(
            joint_NJ, regions_BKD, batch, batch.answer_tokens, batch.answer_lengths, self._sampling_rate()
        )
        if self.coverage == 0:
            return log_p_N
        exists_NK = batch.region_mask[batch.image_index]
        penalty_N = self.coverage * ((1 - weights_NTK.sum(dim=1)).square() * exists_NK).sum(dim=1)
        return log_p_N - (penalty_N - penalty_N.detach())  # the gradient of the penalty, the value of the log-probability

    def answer_log_p(self, joint_NJ: Tensor, regions_BKD: Tensor, batch: Batch) -> Tensor:
        """Compute the log-probability of each true answer, reading all words at once if the decoder does not look.

        Args:
            joint_NJ: (N, J) float.
            regions_BKD: (B, K, D) float.
            batch: Provides ``answer_tokens`` and ``answer_lengths``.

        Returns:
            (N,) float32 sums over the words and the end.
        """
        tokens_NT, lengths_N = batch.answer_tokens, batch.answer_lengths
        if len(joint_NJ) == 0:
            return at_least_float32(joint_NJ.sum(dim=1))
        if self.look is not None:
            return self.score(joint_NJ, regions_BKD, batch, tokens_NT, lengths_N).log_p
        words_NTE = torch.cat([self.start.expand(len(tokens_NT), 1, -1), self.embedding(tokens_NT)], dim=1)
        state = self.first_state(joint_NJ)
        inputs_NTE = self._inputs(words_NTE, joint_NJ)
        first = 0
        if self.conditioning == "first_word":
            inputs_NTE, first = torch.cat([self.joint_word(joint_NJ).unsqueeze(1), inputs_NTE], dim=1), 1
        states_NTH, _ = self.network(inputs_NTE, lengths_N + 1 + first, state)
        states_NTH = states_NTH[:, first:]
        place_T = torch.arange(words_NTE.shape[1])
        is_end_NT = beside(place_T == lengths_N[:, None], tokens_NT)
        next_M = functional.pad(tokens_NT, (0, 1)).masked_fill(is_end_NT, self.end_id).flatten()
        counts = beside((place_T <= lengths_N[:, None]).flatten().nonzero().squeeze(1), tokens_NT)
        logits = self.logits(self.dropout(states_NTH.flatten(0, 1).index_select(0, counts)))
        losses = functional.cross_entropy(logits, next_M[counts], reduction="none")
        return -losses.new_zeros(next_M.shape).index_copy(0, counts, losses).unflatten(0, is_end_NT.shape).sum(dim=1)

    def score(
        self,
        joint_NJ: Tensor,
        regions_BKD: Tensor,
        batch: Batch,
        tokens_NT: Tensor,
        lengths_N: Tensor,
        sampling_rate: Tensor | None = None,
    ) -> Scored:
        """Score a text for each question word by word, which an attention over the regions needs.

        Args:
            joint_NJ: (N, J) float, N at least 1.
            regions_BKD: (B, K, D) float.
            batch: Provides ``image_index`` and ``region_mask``.
            tokens_NT: (N, T) int64, padded with 0.
            lengths_N: (N,) int64 on the CPU.
            sampling_rate: () float, the probability of reading a sampled word instead of the one of the text (scheduled
                sampling, Bengio et al. 2015, https://arxiv.org/abs/1506.03099, section 2.4); None reads the text.

        Returns:
            The log-probabilities and the weights of the regions.
        """
        decoder = self.decoder(regions_BKD, batch)
        lengths_N = beside(lengths_N, tokens_NT)
        padded_NT = functional.pad(tokens_NT, (0, 1))
        outputs_NH, state, weights_NK = decoder.start(joint_NJ)
        total_N = at_least_float32(outputs_NH).new_zeros(len(joint_NJ))
        weights = []
        for place in range(padded_NT.shape[1]):
            counts_N = lengths_N >= place
            next_N = torch.where(lengths_N == place, self.end_id, padded_NT[:, place])
            logits_NV = self.logits(self.dropout(outputs_NH))
            losses_N = functional.cross_entropy(logits_NV, next_N.masked_fill(~counts_N, self.end_id), reduction="none")
            total_N = total_N - torch.where(counts_N, losses_N, 0.0)
            weights.append(weights_NK * counts_N[:, None])
            if place == padded_NT.shape[1] - 1:
                break
            read_N = padded_NT[:, place]
            if sampling_rate is not None:
                read_N = self._sample_some(read_N, logits_NV.detach(), sampling_rate)
            outputs_NH, state, weights_NK = decoder.read(read_N, state)
        return Scored(total_N, torch.stack(weights, dim=1))

    def choice_log_p(self, joint_NJ: Tensor, regions_BKD: Tensor, batch: Batch) -> Tensor:
        """Compute the log-probability of each choice, a few questions at a time to limit memory.

        Args:
            joint_NJ: (N, J) float.
            regions_BKD: (B, K, D) float.
            batch: Provides the choice texts and ``choice_index``.

        Returns:
            (N, C) float32 sums over the words and the end, -inf where there is no such choice.
        """
        index_NC = batch.choice_index
        lengths_U = beside(batch.choice_lengths, index_NC)
        log_p_NC = at_least_float32(joint_NJ).new_full(index_NC.shape, float("-inf"))
        decoder = self.decoder(regions_BKD, batch)
        at_once = max(1, PAIRS_AT_ONCE // max(1, index_NC.shape[1]))
        for start in range(0, len(index_NC), at_once):
            some = slice(start, start + at_once)
            exists = index_NC[some] >= 0
            if exists.any():
                question_P, _ = exists.nonzero(as_tuple=True)
                text_P = index_NC[some][exists]
                tokens_PT, lengths_P = batch.choice_tokens[text_P], lengths_U[text_P]
                log_p_NC[some][exists] = self._pair_log_p(decoder.of(some), joint_NJ[some], question_P, tokens_PT, lengths_P)
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

    def generate(self, joint_NJ: Tensor, regions_BKD: Tensor, batch: Batch, method: Method = greedy) -> Written:
        """Generate an answer to each question; the head must be in evaluation mode.

        The unknown word is never generated, and no text is empty, like those that the tokenizer encodes. A text ends after
        ``max_tokens`` words at the latest.

        Args:
            joint_NJ: (N, J) float.
            regions_BKD: (B, K, D) float.
            batch: Provides ``image_index`` and ``region_mask``.
            method: How words are chosen: ``greedy``, or a ``partial`` of ``draw`` or ``beam_search``.

        Returns:
            The texts and their log-probabilities, which equal those that ``forward`` computes for the texts as choices.
        """
        at_once = max(1, LOGITS_AT_ONCE // (8 * self.output.out_features))
        decoder = self.decoder(regions_BKD, batch)
        parts = []
        for start in range(0, len(joint_NJ), at_once):
            some = slice(start, start + at_once)
            parts.append(method(decoder.of(some), joint_NJ[some], self.max_tokens))
        return join(parts, joint_NJ.device)

    def decoder(self, regions_BKD: Tensor, batch: Batch) -> HeadDecoder:
        """Return the decoder for the questions of a batch.

        Args:
            regions_BKD: (B, K, D) float.
            batch: Provides ``image_index`` and ``region_mask``.

        Returns:
            The decoder, for N contexts.
        """
        memory = None if self.look is None else self.look.remember(regions_BKD, batch.region_mask)
        return HeadDecoder(self, memory, batch.image_index)

    def _rewards(self, joint_NJ: Tensor, regions_BKD: Tensor, batch: Batch) -> Tensor:
        """Return (N,) rewards of sampled texts, with the gradient of REINFORCE.

        Self-critical sequence training (Rennie et al. 2017, https://arxiv.org/abs/1612.00563, equation 7): the baseline is the
        reward of the greedy text. Texts are generated without dropout.
        """
        assert self.reward is not None, "set reward before training with objective=self_critical"
        images_N = batch.images[batch.image_index]
        with torch.no_grad(), _evaluating(self):
            sampled = self.generate(joint_NJ, regions_BKD, batch, draw)
            best = self.generate(joint_NJ, regions_BKD, batch, greedy)
            rewards_N = self.reward(sampled.tokens, sampled.lengths, images_N)
            surplus_N = rewards_N - self.reward(best.tokens, best.lengths, images_N)
        log_p_N = self.score(joint_NJ, regions_BKD, batch, sampled.tokens, sampled.lengths.cpu()).log_p
        gain_N = surplus_N * log_p_N
        return rewards_N + (gain_N - gain_N.detach())

    def _sampling_rate(self) -> Tensor | None:
        """Return the probability of reading a sampled word in this step; None without scheduled sampling."""
        if self.sampling == 0:
            return None
        rate = self.sampling * (self.steps_trained / self.sampling_steps).clamp(max=1)
        self.steps_trained += 1
        return rate

    def _sample_some(self, words_N: Tensor, logits_NV: Tensor, rate: Tensor) -> Tensor:
        """Replace words by sampled ones with a probability; padding, the unknown word and the end are not sampled."""
        p_NV = logits_NV.softmax(dim=1)
        p_NV[:, [PADDING_ID, UNKNOWN_ID, self.end_id]] = 0.0
        sampled_N = torch.multinomial(p_NV + 1e-12, 1).squeeze(1).clamp(max=self.end_id - 1)
        return torch.where(torch.rand(len(words_N), device=words_N.device) < rate, sampled_N, words_N)

    def first_state(self, joint_NJ: Tensor) -> tuple[Tensor, ...]:
        """Return the states of the network before anything is read.

        Args:
            joint_NJ: (N, J) float.

        Returns:
            Each vector of the cell's state, (L, N, H).
        """
        if self.conditioning != "first_state":
            return self.network.begin(len(joint_NJ))
        projected_LNH = self.project_joint(joint_NJ).unflatten(1, (-1, self.network.hidden_size)).transpose(0, 1)
        outputs_LNH, *cells_LNH = projected_LNH.split(self.num_layers)
        return outputs_LNH.tanh(), *cells_LNH

    def context(self, joint_NJ: Tensor, *, is_first: bool) -> Tensor:
        """Return what is concatenated to a word.

        Args:
            joint_NJ: (N, J) float.
            is_first: Whether it is the input before the first word.

        Returns:
            (N, J) float, or (N, 0) if nothing is.
        """
        if self.conditioning == "every_step" or (self.conditioning == "first_step" and is_first):
            return joint_NJ
        return torch.zeros_like(joint_NJ) if self.conditioning == "first_step" else joint_NJ[:, :0]

    def _inputs(self, words_NTE: Tensor, joint_NJ: Tensor) -> Tensor:
        """Return the inputs of all steps: words after dropout, each with its context."""
        words_NTE = self.dropout(words_NTE)
        first, later = (self.context(joint_NJ, is_first=is_first).unsqueeze(1) for is_first in (True, False))
        if first.shape[2] == 0:
            return words_NTE
        told_NTJ = torch.cat([first, later.expand(-1, words_NTE.shape[1] - 1, -1)], dim=1)
        return torch.cat([words_NTE, told_NTJ], dim=2)

    def logits(self, states_MH: Tensor) -> Tensor:
        """Compute the logits of the next word.

        Args:
            states_MH: (M, H) float, the outputs of the decoder.

        Returns:
            (M, V) float32, -inf for padding.
        """
        bias_V = torch.cat([self.output.bias.new_full((PADDING_ID + 1,), float("-inf")), self.output.bias[PADDING_ID + 1 :]])
        return at_least_float32(functional.linear(states_MH, self.output.weight, bias_V))

    def _pair_log_p(
        self, decoder: HeadDecoder, joint_NJ: Tensor, question_P: Tensor, tokens_PT: Tensor, lengths_P: Tensor
    ) -> Tensor:
        """Return (P,) log-probabilities of texts for questions; each distinct beginning of a question's texts is read once.

        The choices of a question form a tree of words. At depth t, all beginnings of t words are extended by one word together.
        """
        tokens_PT = functional.pad(tokens_PT, (0, 1))
        states_MH, state, _ = decoder.start(joint_NJ)
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
            states_MH, state, _ = decoder.read(word_X[goes_on_X], state.pick(beginning_X[goes_on_X]))
        return total_P

    def _step_log_p(self, states_MH: Tensor, beginning_X: Tensor, word_X: Tensor) -> Tensor:
        """Return (X,) log-probabilities of a word after a beginning, with a bounded number of logits in memory."""
        at_once = max(1, LOGITS_AT_ONCE // self.output.out_features)
        normaliser_M = torch.cat([self.logits(some).logsumexp(dim=1) for some in states_MH.split(at_once)])
        logit_X = (states_MH[beginning_X] * self.output.weight[word_X]).sum(dim=1) + self.output.bias[word_X]
        return at_least_float32(logit_X) - normaliser_M[beginning_X]


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode while the block runs."""
    module.eval()
    try:
        yield
    finally:
        module.train()
