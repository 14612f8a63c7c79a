"""The data of a training: its questions, vocabularies and encoded splits."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from vqa_rnn.annotations.mirrored import is_mirrored
from vqa_rnn.annotations.visual_genome import is_extra
from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.commands.shared import check_questions
from vqa_rnn.config import ChoiceHead, Config, MlpChoiceHead, RecurrentTextEncoder, TransformerTextEncoder
from vqa_rnn.data.columns import EncodedQuestions
from vqa_rnn.data.encoding import encode_questions, one_per_answer
from vqa_rnn.data.vocabulary import build_answers, build_tokenizer
from vqa_rnn.errors import UserError
from vqa_rnn.features.store import FeatureStore
from vqa_rnn.models import ModelSizes
from vqa_rnn.models.transformer import count_layers
from vqa_rnn.pretrained_text import read_settings, read_tokenizer
from vqa_rnn.records import Annotations, Question, Split
from vqa_rnn.text import SubwordTokenizer, WordTokenizer
from vqa_rnn.word_vectors import WordVectors, read_word_vectors

log = logging.getLogger("vqa_rnn")

SPLIT_NAMES: dict[Split, str] = {"train": "training", "val": "validation"}


def find_questions(config: Config, annotations: Annotations) -> dict[Split, Sequence[Question]]:
    """Return the training and validation questions, after checking that they suit the model.

    Args:
        config: The config.
        annotations: The annotations of its data set.

    Returns:
        The questions of ``train`` and ``val``; with ``training.refit`` all of them as ``train``.

    Raises:
        UserError: A split has no questions, or the model cannot use them.
    """
    questions: dict[Split, Sequence[Question]] = {split: annotations.split(split) for split in SPLIT_NAMES}
    for split, name in SPLIT_NAMES.items():
        if not questions[split]:
            records = config.dataset.nouns().records
            raise UserError(f"{config.dataset.name}: there are no {name} {records} (at least two images are needed)")
        check_questions(config, questions[split])
        head = config.model.head
        if isinstance(head, ChoiceHead | MlpChoiceHead) and head.target == "relevance":
            questions[split] = _judged(questions[split], config, name)
    history = config.model.history.name
    if history != "none" and not any(question.facts for question in questions["train"]):
        raise UserError(
            f"{config.dataset.name}: no training question has a caption or a history for model.history.name={history} to read: "
            "set model.history.name=none"
        )
    if config.training.refit is not None:
        together = [*questions["train"], *questions["val"]]
        return {"train": sorted(together, key=lambda question: is_mirrored(question.image_id))}  # mirrored ones come last
    return questions


def encoded_splits(config: Config) -> list[Split]:
    """Return the splits whose questions are encoded.

    Args:
        config: The config.

    Returns:
        ``train``, and without ``training.refit`` also ``val``.
    """
    return ["train"] if config.training.refit is not None else ["train", "val"]


def _judged(questions: Sequence[Question], config: Config, name: str) -> Sequence[Question]:
    """Return the questions that have graded relevance."""
    judged = [question for question in questions if any(question.relevance)]
    if not judged:
        raise UserError(
            f"{config.dataset.name}: no {name} question has graded relevance, which model.head.target=relevance learns from: "
            "set the files of dense annotations, such as dataset.train_dense_file"
        )
    return judged


def build_vocabularies(config: Config, questions: Sequence[Question]) -> tuple[WordTokenizer, AnswerVocabulary]:
    """Build the tokenizer and the answer vocabulary from the training split only.

    Questions about mirrored images are not counted again. Answers come from the benchmark's own questions only.

    Args:
        config: The config; its ``text`` section has the minimum counts.
        questions: The training questions.

    Returns:
        The tokenizer and the answer vocabulary, which is empty unless the head is a classifier.

    Raises:
        UserError: A classifier has fewer than two answers.
    """
    questions = [question for question in questions if not is_mirrored(question.image_id)]
    question = config.model.question
    if question.name == "transformer":
        tokenizer: WordTokenizer = SubwordTokenizer(read_tokenizer(question.weights), config.text.max_tokens)
    else:
        tokenizer = build_tokenizer(questions, config.text, with_answers=config.dataset.has_captions)
    if config.model.head.name != "classifier":
        return tokenizer, AnswerVocabulary([])
    answers = build_answers([question for question in questions if not is_extra(question)], config.text)
    if len(answers) < 2:
        raise UserError(
            f"{config.dataset.name}: a classifier needs at least two distinct answers in the training questions, and they have "
            f"{len(answers)} that is frequent enough"
        )
    return tokenizer, answers


def measure_sizes(config: Config, tokenizer: WordTokenizer, store: FeatureStore, answers: AnswerVocabulary) -> ModelSizes:
    """Return the sizes of the model that depend on the data and on a pretrained question transformer.

    Args:
        config: The config.
        tokenizer: From ``build_vocabularies``.
        store: The feature store.
        answers: From ``build_vocabularies``.

    Returns:
        The sizes.

    Raises:
        UserError: The transformer cannot be read, or has fewer layers than are to be trained.
    """
    question = config.model.question
    transformer = _read_transformer(question) if isinstance(question, TransformerTextEncoder) else None
    return ModelSizes(tokenizer.vocabulary_size, store.feature_size, len(answers), transformer)


def _read_transformer(question: TransformerTextEncoder) -> dict[str, Any]:
    settings = read_settings(question.weights)
    trained = question.trained_layers
    if trained != "all" and trained > (num_layers := count_layers(settings)):
        raise UserError(
            f"model.question.trained_layers={trained}, but this transformer has {num_layers} layers: use at most {num_layers}, "
            "or all"
        )
    return settings


def read_vectors(config: Config, tokenizer: WordTokenizer) -> WordVectors | None:
    """Read the word vectors that a new run starts with.

    Args:
        config: The config.
        tokenizer: From ``build_vocabularies``.

    Returns:
        The vectors of the known words; None without ``text.vectors``.

    Raises:
        UserError: They cannot be read, or have another size than the embedding.
    """
    if config.text.vectors is None:
        return None
    words = tokenizer.words
    found = read_word_vectors(config.text.vectors, words)
    size, question = found.vectors.shape[1], config.model.question
    assert isinstance(question, RecurrentTextEncoder), "a transformer brings its own"
    if size != question.embedding_size:
        raise UserError(
            f"text.vectors={config.text.vectors} has {size} numbers a word, and model.question.embedding_size is "
            f"{question.embedding_size}: set it to {size}"
        )
    known = set(found.ids.tolist())
    missing = [word for number, word in enumerate(words[2:], start=2) if number not in known]
    some = f", such as {', '.join(missing[:5])}," if missing else ""
    log.info(
        "word vectors of %d of %d words are taken from %s; the other %d%s start at random",
        len(found.ids),
        len(words) - 2,
        config.text.vectors,
        len(missing),
        some,
    )
    return found


def encode_splits(
    config: Config, questions: Mapping[Split, Sequence[Question]], tokenizer: WordTokenizer, answers: AnswerVocabulary
) -> dict[Split, EncodedQuestions]:
    """Encode the training and validation questions.

    Args:
        config: The config.
        questions: The questions of each split.
        tokenizer: From ``build_vocabularies``.
        answers: From ``build_vocabularies``.

    Returns:
        The encoded questions of each split. For a generative head, those of ``train`` have no choices: it only ranks them.
    """
    writes = config.model.head.name == "generative"
    captions = config.dataset.has_captions
    if captions and "train" in questions:
        questions = {**questions, "train": one_per_answer(questions["train"])}
    encoded = {
        split: encode_questions(each, tokenizer, answers, answers_as_text=writes, with_references=captions)
        for split, each in questions.items()
    }
    if writes and "train" in encoded:
        encoded["train"] = encoded["train"].without_choices()
    return encoded
