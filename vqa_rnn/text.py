"""Words: from a text to token ids.

A text is put in Unicode form NFKC and lower case, then split at white space and punctuation, and the punctuation is
dropped. Id 0 is padding, id 1 the unknown word.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from vqa_rnn.errors import UserError
from vqa_rnn.files import atomic_path

PADDING_ID = 0
UNKNOWN_ID = 1
PADDING, UNKNOWN = "[PAD]", "[UNK]"


def split_words(text: str) -> list[str]:
    """Split a text into words the way every tokenizer here does.

    Args:
        text: Any text.

    Returns:
        Lower-case words without punctuation; empty if there are none.
    """
    return [word for word, _ in _PRE_TOKENIZER.pre_tokenize_str(_NORMALIZER.normalize_str(text))]


_NORMALIZER = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
_PRE_TOKENIZER = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(behavior="removed")])


class WordTokenizer:
    """A vocabulary of whole words.

    Attributes:
        max_tokens: Longer texts are cut to this many tokens.
    """

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
        """Collect the words of the training texts, the most frequent first.

        Args:
            texts: Every training text once, or as often as it should count.
            min_count: Rarer words are left to the unknown word.
            max_tokens: Longer texts are cut.

        Returns:
            The tokenizer.
        """
        counts: Counter[str] = Counter()
        for text, times in Counter(texts).items():
            for word in split_words(text):
                counts[word] += times
        words = sorted((word for word, n in counts.items() if n >= min_count), key=lambda word: (-counts[word], word))
        vocabulary = {PADDING: PADDING_ID, UNKNOWN: UNKNOWN_ID}
        for word in words:
            vocabulary.setdefault(word, len(vocabulary))
        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
        tokenizer.normalizer = _NORMALIZER
        tokenizer.pre_tokenizer = _PRE_TOKENIZER
        return cls(tokenizer, max_tokens)

    @property
    def vocabulary_size(self) -> int:
        """Words, with padding and the unknown word."""
        return self._tokenizer.get_vocab_size()

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Turn texts into token ids.

        Args:
            texts: The texts.

        Returns:
            Ids of each text, at most ``max_tokens``; a text without words is one unknown word.
        """
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids[: self.max_tokens] or [UNKNOWN_ID] for encoding in encodings]

    def decode(self, ids: Iterable[int]) -> str:
        """Turn token ids back into words.

        Args:
            ids: Token ids, without padding.

        Returns:
            The words with a space between them.

        Raises:
            ValueError: An id is not in the vocabulary.
        """
        words = []
        for number in ids:
            word = self._tokenizer.id_to_token(number)
            if word is None:
                raise ValueError(f"token ids go up to {self.vocabulary_size - 1}, and this is {number}")
            words.append(word)
        return " ".join(words)

    def unknown_words(self, text: str) -> list[str]:
        """The words of a text that are not in the vocabulary.

        Args:
            text: Any text.

        Returns:
            The words in order, each once.
        """
        return [w for w in dict.fromkeys(split_words(text)) if self._tokenizer.token_to_id(w) is None]

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
