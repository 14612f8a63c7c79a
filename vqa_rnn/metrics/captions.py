"""Metrics of image captions, equal to those of the official evaluation of COCO (https://github.com/tylin/coco-caption).

- BLEU (Papineni et al. 2002, https://aclanthology.org/P02-1040), of the whole corpus, with the closest length of a reference.
- ROUGE-L (Lin 2004, https://aclanthology.org/W04-1013), with the best precision and the best recall over the references.
- CIDEr-D (Vedantam et al. 2015, https://arxiv.org/abs/1411.5726, section 4 and appendix), which the official code calls CIDEr.

What differs from the papers is what the official code does: BLEU adds tiny numbers to its counts, ROUGE-L has beta = 1.2, and
CIDEr-D measures lengths in pairs of words.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vqa_rnn.metrics.caption_tokenizer import tokenize_caption

ORDER = 4  # n-grams of 1 to 4 words
SIGMA = 6.0  # of CIDEr-D's penalty for another length
BETA = 1.2  # of ROUGE-L: above 1, recall weighs more than precision

Floats = NDArray[np.float64]
Words = Sequence[str]
Ngram = tuple[str, ...]


class CaptionReferences:
    """The reference captions of a set of images, prepared once to score any number of candidates.

    Example: with the references ``[["a cat on a mat", "a cat"], ["a dog"]]``, the candidates ``["a cat on a mat", "a bird"]``
    have a ROUGE-L of 1 and 0.5.
    """

    def __init__(self, references: Sequence[Sequence[str]]) -> None:
        """Tokenise the references and count the images in which each n-gram occurs.

        Args:
            references: (N,) the reference captions of each image, at least one each.

        Raises:
            ValueError: There is no image, or an image has no reference.
        """
        self._prepare([[tokenize_caption(text) for text in texts] for texts in references])

    @classmethod
    def of_words(cls, references: Sequence[Sequence[Words]]) -> "CaptionReferences":
        """Prepare captions that are already split into words, such as token ids.

        Args:
            references: (N,) the words of the reference captions of each image, at least one caption each.

        Returns:
            The references, for ``cider_of_words``.

        Raises:
            ValueError: There is no image, or an image has no reference.
        """
        made = cls.__new__(cls)
        made._prepare(references)
        return made

    def _prepare(self, references: Sequence[Sequence[Words]]) -> None:
        if not references:
            raise ValueError("captions cannot be scored without images")
        if not all(references):
            raise ValueError("an image has no reference caption")
        self._references = references
        self._log_images = math.log(len(references))
        images_with: Counter[Ngram] = Counter()
        for captions in self._references:
            images_with.update({ngram for words in captions for ngram in _ngrams(_split_further(words))})
        self._weights = {ngram: self._log_images - math.log(number) for ngram, number in images_with.items()}

    def __len__(self) -> int:
        return len(self._references)

    def cider(self, candidates: Sequence[str]) -> Floats:
        """Compute CIDEr-D with the document frequencies of this set of images.

        Args:
            candidates: (N,) one caption for each image.

        Returns:
            (N,) scores from 0 to 10. All are 0 for a set of one image, in which no n-gram is rare.

        Raises:
            ValueError: The number of candidates is not that of the images.
        """
        self._check(candidates)
        return self.cider_of(range(len(self)), candidates)

    def cider_of(self, image_indices: Sequence[int], candidates: Sequence[str]) -> Floats:
        """Compute CIDEr-D of some captions with the document frequencies of the whole set, as self-critical training needs.

        Args:
            image_indices: (M,) the image of each candidate, 0 to N - 1. Images may be repeated.
            candidates: (M,) captions.

        Returns:
            (M,) scores from 0 to 10.

        Raises:
            ValueError: The two have different lengths.
        """
        return self.cider_of_words(image_indices, [tokenize_caption(text) for text in candidates])

    def cider_of_words(self, image_indices: Sequence[int], candidates: Sequence[Words]) -> Floats:
        """Compute ``cider_of`` for captions that are already split into words.

        Args:
            image_indices: (M,) the image of each candidate, 0 to N - 1. Images may be repeated.
            candidates: (M,) the words of captions.

        Returns:
            (M,) scores from 0 to 10.

        Raises:
            ValueError: The two have different lengths.
        """
        candidates_of: defaultdict[int, list[int]] = defaultdict(list)
        for place, (image, _) in enumerate(zip(image_indices, candidates, strict=True)):
            candidates_of[int(image)].append(place)
        scores = np.zeros(len(candidates))
        for image, places in candidates_of.items():
            references = [self._vector(words) for words in self._references[image]]
            for place in places:
                candidate = self._vector(candidates[place])
                similarities = [_similarity(candidate, reference) for reference in references]
                scores[place] = 10 * sum(similarities) / len(similarities)
        return scores

    def rouge_l(self, candidates: Sequence[str]) -> Floats:
        """Compute ROUGE-L, the F-score of the longest common subsequence.

        Args:
            candidates: (N,) one caption for each image.

        Returns:
            (N,) fractions.

        Raises:
            ValueError: The number of candidates is not that of the images.
        """
        self._check(candidates)
        pairs = zip(map(tokenize_caption, candidates), self._references, strict=True)
        return np.array([_rouge_l(words, references) for words, references in pairs])

    def bleu_statistics(self, candidates: Sequence[str]) -> NDArray[np.int64]:
        """Count what BLEU is computed from. The statistics of a corpus are the sums of those of its images.

        Args:
            candidates: (N,) one caption for each image.

        Returns:
            (N, 10) matching n-grams of 1, 2, 3 and 4 words, n-grams of the candidate of 1, 2, 3 and 4 words, length of the
            candidate, and length of the reference with the closest length (the shorter of two).

        Raises:
            ValueError: The number of candidates is not that of the images.
        """
        self._check(candidates)
        pairs = zip(map(tokenize_caption, candidates), self._references, strict=True)
        return np.array([_bleu_row(words, references) for words, references in pairs], dtype=np.int64)

    def _check(self, candidates: Sequence[str]) -> None:
        if len(candidates) != len(self):
            raise ValueError(f"{len(candidates)} candidates for {len(self)} images")

    def _vector(self, words: Words) -> "_Vector":
        return _Vector(_split_further(words), self._weights, self._log_images)


class _Vector:
    """The tf-idf weights of a caption's n-grams; the term frequency is the plain count, as in the official code.

    Args:
        words: The caption.
        weight_of: Inverse document frequencies of the n-grams of the references.
        weight_of_unknown: That of all other n-grams.

    Attributes:
        weights: For each order, the weights by n-gram.
        norms: For each order, the Euclidean norm of the weights.
        length: Number of pairs of words.
    """

    __slots__ = ("length", "norms", "weights")

    def __init__(self, words: Words, weight_of: dict[Ngram, float], weight_of_unknown: float) -> None:
        self.weights: tuple[dict[Ngram, float], ...] = tuple({} for _ in range(ORDER))
        for ngram, count in Counter(_ngrams(words)).items():
            self.weights[len(ngram) - 1][ngram] = count * weight_of.get(ngram, weight_of_unknown)
        self.norms = [math.sqrt(sum(weight * weight for weight in weights.values())) for weights in self.weights]
        self.length = max(len(words) - 1, 0)


def _similarity(candidate: _Vector, reference: _Vector) -> float:
    """Return the mean over orders of the clipped cosine, times the penalty for another length."""
    total = 0.0
    for ours, theirs, norm, other in zip(candidate.weights, reference.weights, candidate.norms, reference.norms, strict=True):
        if norm and other:
            shared = sum(min(weight, theirs[ngram]) * theirs[ngram] for ngram, weight in ours.items() if ngram in theirs)
            total += shared / (norm * other)
    return total / ORDER * math.exp(-((candidate.length - reference.length) ** 2) / (2 * SIGMA**2))


def _ngrams(words: Words) -> Iterable[Ngram]:
    for order in range(1, ORDER + 1):
        yield from zip(*(words[start:] for start in range(order)), strict=False)


def _split_further(words: Words) -> Words:
    """Split tokens with a non-breaking space: BLEU and CIDEr-D split captions at any white space, ROUGE-L at plain spaces."""
    return [part for word in words for part in word.split()] if any("\xa0" in word for word in words) else words


def _rouge_l(candidate: Words, references: Sequence[Words]) -> float:
    candidate = candidate or [""]  # to the official code, an empty caption is one empty word
    common = [(_common(candidate, reference or [""]), len(reference or [""])) for reference in references]
    precision = max(length for length, _ in common) / len(candidate)
    recall = max(length / of for length, of in common)
    if not precision or not recall:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def _common(words: Words, others: Words) -> int:
    """Return the length of the longest common subsequence, by the bits of one number (Hyyrö 2004)."""
    places: defaultdict[str, int] = defaultdict(int)
    for place, word in enumerate(words):
        places[word] |= 1 << place
    all_places = (1 << len(words)) - 1
    free = all_places
    for word in others:
        met = free & places.get(word, 0)
        free = ((free + met) | (free - met)) & all_places
    return len(words) - free.bit_count()


def _bleu_row(candidate: Words, references: Sequence[Words]) -> list[int]:
    words, others = _split_further(candidate), [_split_further(reference) for reference in references]
    most: dict[Ngram, int] = {}
    for other in others:
        for ngram, count in Counter(_ngrams(other)).items():
            most[ngram] = max(most.get(ngram, 0), count)
    matches = [0] * ORDER
    for ngram, count in Counter(_ngrams(words)).items():
        matches[len(ngram) - 1] += min(count, most.get(ngram, 0))
    totals = [max(len(words) - order, 0) for order in range(ORDER)]
    closest = min((abs(len(other) - len(words)), len(other)) for other in others)[1]
    return [*matches, *totals, len(words), closest]


def bleu(statistics: ArrayLike) -> Floats:
    """Compute BLEU-1 to BLEU-4 of a corpus.

    Args:
        statistics: (N, 10) rows of ``bleu_statistics``, which are summed, or (10,) their sum.

    Returns:
        (4,) fractions. The official code adds 1e-15 to matches and 1e-9 to totals, so that BLEU-4 of a corpus without a common
        4-gram is tiny, not 0.
    """
    sums = np.atleast_2d(np.asarray(statistics, dtype=np.float64)).sum(axis=0)
    matches, totals, length, reference = sums[:ORDER], sums[ORDER : 2 * ORDER], sums[-2], sums[-1]
    scores = np.cumprod((matches + 1e-15) / (totals + 1e-9)) ** (1 / np.arange(1, ORDER + 1))
    ratio = (length + 1e-15) / (reference + 1e-9)
    return scores * (math.exp(1 - 1 / ratio) if ratio < 1 else 1.0)
