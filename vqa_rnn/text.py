"""Words: from a text to token ids.

``SubwordTokenizer`` splits as a pretrained transformer does; all else here is of ``WordTokenizer``.

A text is put in Unicode form NFKC and lower case. Its words are what ``_WORD`` finds, and what lies between them is dropped:

- a number with its sign, decimals and thousands: ``-1``, ``3.5``, ``1,000``, ``2nd``;
- a run of letters: ``t-shirt`` is ``t``, ``shirt``;
- what English contracts after an apostrophe, a word of its own: ``it's`` is ``it``, ``'s``;
- each letter of a script that puts no spaces between words (Han, kana, Thai, Lao, Khmer, Myanmar);
- a run of symbols that are no punctuation: emoji, currencies.

Id 0 is padding, id 1 the unknown word.
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
SIMILAR = 0.75  # how alike two words must be, for ``nearest``


def split_words(text: str) -> list[str]:
    """Split a text into words the way every tokenizer here does.

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
_LETTER = rf"[\p{{L}}\p{{M}}\p{{N}}\x{{FFFD}}&&[^{_SPACELESS}]]"  # U+FFFD stands for a letter that could not be read
_SIGN = r"(?:(?<![^\s(\[{=<>:])[+\-])?"  # where nothing stands before it: 3-4 is 3, 4
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
    """Find texts that no tokenizer here can tell apart, such as ``t-shirt`` and ``t shirt``.

    Args:
        texts: Different texts.

    Returns:
        Each text that has the words of an earlier one, after that one.
    """
    first: dict[tuple[str, ...], str] = {}
    pairs = [(first.setdefault(tuple(split_words(text)), text), text) for text in texts]
    return [(one, other) for one, other in pairs if one != other]


class WordTokenizer:
    """A vocabulary of whole words.

    Attributes:
        max_tokens: Longer texts are cut to this many tokens.
        has_marks: Whether marks of a transformer stand around a text.
    """

    has_marks = False

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """Wrap a tokenizer; ``build`` and ``load`` make one.

        Args:
            tokenizer: Of the ``tokenizers`` library.
            max_tokens: Longer texts are cut.
        """
        self._tokenizer = tokenizer
        self.max_tokens = max_tokens

    @classmethod
    def build(cls, texts: Iterable[str], min_count: int, max_tokens: int) -> "WordTokenizer":
        """Collect the words of the training texts, the most frequent first, then by the alphabet.

        Args:
            texts: Every training text as often as it should count.
            min_count: Rarer words are left to the unknown word.
            max_tokens: Longer texts are cut.

        Returns:
            The tokenizer.
        """
        counts: Counter[str] = Counter()
        for text, times in Counter(texts).items():  # each distinct text is split once: the library's trainer splits them all
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
        """Words, with padding and the unknown word."""
        return self._tokenizer.get_vocab_size()

    @cached_property
    def words(self) -> list[str]:
        """Every word by its id, with padding and the unknown word."""
        ids = self._tokenizer.get_vocab()
        return sorted(ids, key=ids.__getitem__)

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Turn texts into token ids.

        Args:
            texts: The texts.

        Returns:
            Ids of each text, at most ``max_tokens``; a text without words is one unknown word.
        """
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids[: self.max_tokens] or [UNKNOWN_ID] for encoding in encodings]

    def pieces(self, text: str) -> list[str]:
        """Cut a text where ``encode`` cuts it.

        Args:
            text: Any text.

        Returns:
            The part of the text of each token; empty for a mark that is no part of it.
        """
        offsets = self._tokenizer.encode(text, add_special_tokens=self.has_marks).offsets
        return [text[start:end] for start, end in offsets[: self.max_tokens]] or [text]

    def unread(self, text: str) -> str:
        """The end of a text that ``encode`` cuts off.

        Args:
            text: Any text.

        Returns:
            What comes after the last token that is kept; empty for most texts.
        """
        num_marks = self._tokenizer.num_special_tokens_to_add(is_pair=False) if self.has_marks else 0
        num_read = max(0, self.max_tokens - num_marks)
        ends = [0, *(end for _, end in self._tokenizer.encode(text, add_special_tokens=False).offsets)]
        return text[ends[num_read] :].strip() if len(ends) > num_read + 1 else ""

    def encode_rounds(self, rounds: list[tuple[str, str]]) -> list[tuple[list[int], int]]:
        """Turn questions with their answers into token ids; where both are too long, the question is cut.

        Args:
            rounds: Question and answer.

        Returns:
            Ids of each question and then of its answer, at most ``max_tokens``; a round without words is one unknown word. And
            how many of them are the question's.
        """
        texts = [text for pair in rounds for text in pair]
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        pairs = zip(ids[::2], ids[1::2], strict=True)
        cut = [(question[: max(0, self.max_tokens - len(answer))], answer) for question, answer in pairs]
        return [((question + answer)[: self.max_tokens] or [UNKNOWN_ID], len(question)) for question, answer in cut]

    def decode(self, ids: Iterable[int]) -> str:
        """Turn token ids back into words.

        Args:
            ids: Token ids, without padding.

        Returns:
            The words with a space between them, but before a contraction: ``it's 3.5``. Other punctuation is lost.

        Raises:
            ValueError: An id is not in the vocabulary.
        """
        words = []
        for number in ids:
            word = self._tokenizer.id_to_token(number)
            if word is None:
                raise ValueError(f"token ids go up to {self.vocabulary_size - 1}, and this is {number}")
            words.append(word if word.startswith("'") else f" {word}")
        return "".join(words).strip()

    def unknown_words(self, text: str) -> list[str]:
        """The words of a text that are not in the vocabulary.

        Args:
            text: Any text.

        Returns:
            The words in order, each once.
        """
        return [w for w in dict.fromkeys(split_words(text)) if self._tokenizer.token_to_id(w) is None]

    def nearest_word(self, word: str) -> str | None:
        """A word of the vocabulary that is written nearly the same.

        Args:
            word: Another word.

        Returns:
            The most similar one; None where none is similar.
        """
        # of other lengths or another start few are similar, and comparing all takes long
        candidates = (each for each in self.words[2:] if abs(len(each) - len(word)) <= 2 and set(each[:2]) & set(word[:2]))
        return nearest(word, candidates, cutoff=SIMILAR)

    def save(self, path: Path) -> None:
        """Write the tokenizer as a Hugging Face ``tokenizer.json``; ``max_tokens`` lies in it as its truncation.

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
        tokenizer.no_truncation()
        return cls(tokenizer, truncation["max_length"] if truncation else 64)


class SubwordTokenizer(WordTokenizer):
    """The tokenizer of a pretrained transformer: parts of words, between the marks that the transformer was trained with."""

    has_marks = True

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Turn texts into token ids.

        Args:
            texts: The texts.

        Returns:
            Ids of each text with the marks around it, at most ``max_tokens``.
        """
        return self._encode(texts, "longest_first")

    def encode_rounds(self, rounds: list[tuple[str, str]]) -> list[tuple[list[int], int]]:
        """Turn questions with their answers into token ids; where both are too long, the question is cut.

        Args:
            rounds: Question and answer.

        Returns:
            Ids of each question and then of its answer, with the marks of a pair, at most ``max_tokens``. And 0: with marks
            between them, no first ids are the question alone.
        """
        try:
            ids = self._encode(rounds, "only_first")
        except Exception:  # the library raises bare Exception where an answer alone is too long
            ids = self._encode(rounds, "longest_first")
        return [(each, 0) for each in ids]

    def _encode(self, texts: list[str] | list[tuple[str, str]], strategy: str) -> list[list[int]]:
        self._tokenizer.enable_truncation(self.max_tokens, strategy=strategy)
        try:
            return [encoding.ids or [UNKNOWN_ID] for encoding in self._tokenizer.encode_batch_fast(texts)]
        finally:
            self._tokenizer.no_truncation()

    def unknown_words(self, text: str) -> list[str]:
        """The words of a text that are no sequence of the transformer's parts.

        Args:
            text: Any text.

        Returns:
            The words in order, each once.
        """
        words = list(dict.fromkeys(split_words(text)))
        unknown = getattr(self._tokenizer.model, "unk_token", None)
        encodings = self._tokenizer.encode_batch(words, add_special_tokens=False)
        return [word for word, encoding in zip(words, encodings, strict=True) if unknown and unknown in encoding.tokens]

    def nearest_word(self, word: str) -> str | None:
        """Find no word: the vocabulary has parts of words.

        Args:
            word: Any word.

        Returns:
            None.
        """
        return None
