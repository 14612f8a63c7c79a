"""Tokenizers: from a text to token ids.

``SubwordTokenizer`` splits as a pretrained transformer does. Everything else here is about ``WordTokenizer``.

A text is converted to Unicode form NFKC and lower case. Its words are the matches of ``_WORD``; all other text is dropped:

- a number with its sign, decimals and thousands: ``-1``, ``3.5``, ``1,000``, ``2nd``;
- a run of letters: ``t-shirt`` is ``t``, ``shirt``;
- an English contraction after an apostrophe, as a separate word: ``it's`` is ``it``, ``'s``;
- each letter of a script without spaces between words (Han, kana, Thai, Lao, Khmer, Myanmar);
- a run of symbols that are neither punctuation nor ASCII: emoji, ``€``.

Id 0 is padding, id 1 is the unknown word.
"""

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from vqa_rnn.errors import UserError
from vqa_rnn.files import atomic_path, nearest

PADDING_ID = 0
UNKNOWN_ID = 1
PADDING, UNKNOWN = "[PAD]", "[UNK]"
SIMILAR = 0.75  # minimum similarity of two words, for ``nearest``


def split_words(text: str) -> list[str]:
    """Split a text into words as ``WordTokenizer`` does.

    Args:
        text: Any text.

    Returns:
        Lower-case words; empty if there are none.
    """
    return [word for word, _ in _PRE_TOKENIZER.pre_tokenize_str(_NORMALIZER.normalize_str(text))]


_NORMALIZER = normalizers.Sequence(
    [
        normalizers.NFKC(),
        normalizers.Lowercase(),
        normalizers.Replace(Regex("[\u2019\u02bc]"), "'"),
        normalizers.Replace("\u2212", "-"),  # the minus sign
    ]
)
_SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_LETTER = rf"[\p{{L}}\p{{M}}\p{{N}}\x{{FFFD}}&&[^{_SPACELESS}]]"  # U+FFFD stands for an undecodable letter
_SIGN = r"(?:(?<![^\s(\[{=<>:])[+\-])?"  # a sign only if no word directly precedes it: 3-4 is 3, 4
_POINT = r"(?:(?<![^\s(\[{=<>:+\-])\.)?"
_WORD = "|".join(
    (
        rf"{_SIGN}{_POINT}\p{{Nd}}+(?:[.,]\p{{Nd}}+)*{_LETTER}*",
        rf"[\p{{L}}&&[{_SPACELESS}]]\p{{M}}*",
        r"(?<=[\p{L}\p{M}\p{N}])'(?:s|t|d|m|re|ve|ll)(?![\p{L}\p{M}\p{N}])",
        rf"{_LETTER}+",
        r"[^\s\p{P}\p{L}\p{M}\p{N}\p{C}\x{FFFD}$+<=>^`|~]+",
    )
)
_PRE_TOKENIZER = pre_tokenizers.Split(Regex(_WORD), "removed", invert=True)


def same_words(texts: Iterable[str]) -> list[tuple[str, str]]:
    """Find texts that are the same to ``WordTokenizer``, such as ``t-shirt`` and ``t shirt``.

    Args:
        texts: Different texts.

    Returns:
        Pairs of texts with the same words: the first text with these words, and a later one.
    """
    first: dict[tuple[str, ...], str] = {}
    pairs = [(first.setdefault(tuple(split_words(text)), text), text) for text in texts]
    return [(one, other) for one, other in pairs if one != other]


class WordTokenizer:
    """A tokenizer with a vocabulary of whole words.

    Attributes:
        max_tokens: Longer texts are truncated to this many tokens.
        has_marks: Whether texts are encoded with the special tokens of a transformer.
    """

    has_marks = False

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """Wrap a tokenizer. Use ``build`` or ``load`` to create one.

        Args:
            tokenizer: A tokenizer of the ``tokenizers`` library.
            max_tokens: Longer texts are truncated to this many tokens.
        """
        self._tokenizer = tokenizer
        self.max_tokens = max_tokens

    @classmethod
    def build(cls, texts: Iterable[str], min_count: int, max_tokens: int) -> "WordTokenizer":
        """Build a vocabulary of the words in the training texts, the most frequent first, then alphabetically.

        Args:
            texts: All training texts, each as often as it should count.
            min_count: Rarer words are mapped to the unknown word.
            max_tokens: Longer texts are truncated to this many tokens.

        Returns:
            The tokenizer.
        """
        counts: Counter[str] = Counter()
        for text, times in Counter(texts).items():  # splits each distinct text once; the library's trainer splits them all
            for word in split_words(text):
                counts[word] += times
        words = sorted((word for word, n in counts.items() if n >= min_count), key=lambda word: (-counts[word], word))
        vocabulary = {PADDING: PADDING_ID, UNKNOWN: UNKNOWN_ID} | {word: number for number, word in enumerate(words, start=2)}
        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
        tokenizer.normalizer = _NORMALIZER
        tokenizer.pre_tokenizer = _PRE_TOKENIZER
        return cls(tokenizer, max_tokens)

    @property
    def vocabulary_size(self) -> int:
        """Number of words, including padding and the unknown word."""
        return self._tokenizer.get_vocab_size()

    @cached_property
    def words(self) -> list[str]:
        """All words in order of their ids, including padding and the unknown word."""
        ids = self._tokenizer.get_vocab()
        return sorted(ids, key=ids.__getitem__)

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Convert texts to token ids.

        Args:
            texts: The texts.

        Returns:
            Ids of each text, at most ``max_tokens``; a text without words becomes one unknown word.
        """
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids[: self.max_tokens] or [UNKNOWN_ID] for encoding in encodings]

    def pieces(self, text: str) -> list[str]:
        """Split a text into the parts that ``encode`` converts to tokens.

        Args:
            text: Any text.

        Returns:
            The part of the text for each token; empty for a special token.
        """
        offsets = self._tokenizer.encode(text, add_special_tokens=self.has_marks).offsets
        return [text[start:end] for start, end in offsets[: self.max_tokens]] or [text]

    def unread(self, text: str) -> str:
        """Return the end of a text that ``encode`` truncates.

        Args:
            text: Any text.

        Returns:
            The text after the last token that is kept; empty if nothing is truncated.
        """
        num_marks = self._tokenizer.num_special_tokens_to_add(is_pair=False) if self.has_marks else 0
        num_read = max(0, self.max_tokens - num_marks)
        ends = [0, *(end for _, end in self._tokenizer.encode(text, add_special_tokens=False).offsets)]
        return text[ends[num_read] :].strip() if len(ends) > num_read + 1 else ""

    def encode_rounds(self, rounds: list[tuple[str, str]]) -> list[tuple[list[int], int]]:
        """Convert pairs of a question and its answer to token ids. If a pair is too long, the question is truncated first.

        Args:
            rounds: Pairs of a question and its answer.

        Returns:
            For each pair, the ids of the question followed by those of the answer, and the number of ids of the question. There
            are at most ``max_tokens`` ids; a pair without words becomes one unknown word.
        """
        texts = [text for pair in rounds for text in pair]
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        pairs = zip(ids[::2], ids[1::2], strict=True)
        cut = [(question[: max(0, self.max_tokens - len(answer))], answer) for question, answer in pairs]
        return [((question + answer)[: self.max_tokens] or [UNKNOWN_ID], len(question)) for question, answer in cut]

    def decode(self, ids: Iterable[int]) -> str:
        """Convert token ids back to words.

        Args:
            ids: Token ids, without padding.

        Returns:
            The words, separated by spaces except before a contraction: ``it's 3.5``. Other punctuation is lost.

        Raises:
            ValueError: An id is not in the vocabulary.
        """
        words = []
        for number in ids:
            word = self._tokenizer.id_to_token(number)
            if word is None:
                raise ValueError(f"token id {number} is out of range: the largest is {self.vocabulary_size - 1}")
            words.append(word if word.startswith("'") else f" {word}")
        return "".join(words).strip()

    def unknown_words(self, text: str) -> list[str]:
        """Return the words of a text that are not in the vocabulary.

        Args:
            text: Any text.

        Returns:
            The words in order, without duplicates.
        """
        return [w for w in dict.fromkeys(split_words(text)) if self._tokenizer.token_to_id(w) is None]

    def nearest_word(self, word: str) -> str | None:
        """Find the word of the vocabulary with the most similar spelling.

        Args:
            word: A word that is not in the vocabulary.

        Returns:
            The most similar word; None if none is similar.
        """
        # few words with another length or another start are similar, and comparing all words is slow
        candidates = (each for each in self.words[2:] if abs(len(each) - len(word)) <= 2 and set(each[:2]) & set(word[:2]))
        return nearest(word, candidates, cutoff=SIMILAR)

    def save(self, path: Path) -> None:
        """Write the tokenizer as a Hugging Face ``tokenizer.json``, with ``max_tokens`` as its truncation.

        Args:
            path: The file.
        """
        self._tokenizer.enable_truncation(self.max_tokens)
        with atomic_path(path) as temporary:
            self._tokenizer.save(str(temporary))
        self._tokenizer.no_truncation()

    @classmethod
    def load(cls, path: Path) -> "WordTokenizer":
        """Read a tokenizer that ``save`` wrote.

        Args:
            path: The file.

        Returns:
            The tokenizer.

        Raises:
            UserError: The file is missing or damaged.
        """
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise UserError(f"cannot read the tokenizer {path}: {error}") from error
        truncation = tokenizer.truncation
        if truncation is None:
            raise UserError(f"{path} is not a tokenizer of a run: it has no truncation length")
        tokenizer.no_truncation()
        return cls(tokenizer, truncation["max_length"])


class SubwordTokenizer(WordTokenizer):
    """The tokenizer of a pretrained transformer: subwords, and the special tokens that the transformer was trained with."""

    has_marks = True

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Convert texts to token ids.

        Args:
            texts: The texts.

        Returns:
            Ids of each text with its special tokens, at most ``max_tokens``.
        """
        return self._encode(texts, "longest_first")

    def encode_rounds(self, rounds: list[tuple[str, str]]) -> list[tuple[list[int], int]]:
        """Convert pairs of a question and its answer to token ids. If a pair is too long, the question is truncated first.

        Args:
            rounds: Pairs of a question and its answer.

        Returns:
            For each pair, the ids of the question and the answer with the special tokens of a pair, at most ``max_tokens``, and
            0, because with special tokens, the ids of the question alone are not a prefix.
        """
        try:
            ids = self._encode(rounds, "only_first")
        except Exception:  # the library raises bare Exception if an answer alone is too long
            ids = self._encode(rounds, "longest_first")
        return [(each, 0) for each in ids]

    def _encode(self, texts: list[str] | list[tuple[str, str]], strategy: str) -> list[list[int]]:
        self._tokenizer.enable_truncation(self.max_tokens, strategy=strategy)
        try:
            return [encoding.ids or [UNKNOWN_ID] for encoding in self._tokenizer.encode_batch_fast(texts)]
        finally:
            self._tokenizer.no_truncation()

    def unknown_words(self, text: str) -> list[str]:
        """Return the words of a text that the transformer's subwords cannot spell.

        Args:
            text: Any text.

        Returns:
            The words in order, without duplicates.
        """
        words = list(dict.fromkeys(split_words(text)))
        unknown = getattr(self._tokenizer.model, "unk_token", None)
        encodings = self._tokenizer.encode_batch(words, add_special_tokens=False)
        return [word for word, encoding in zip(words, encodings, strict=True) if unknown and unknown in encoding.tokens]

    def nearest_word(self, word: str) -> str | None:
        """Return None, because the vocabulary has subwords.

        Args:
            word: Any word.

        Returns:
            None.
        """
        return None
