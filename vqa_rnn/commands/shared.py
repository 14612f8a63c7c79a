"""What several commands do: open the data of a config or a run, choose the device."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.checkpoint import Run
from vqa_rnn.config import Config, store_path
from vqa_rnn.data.encoding import EncodedQuestions, encode_questions
from vqa_rnn.data.store_features import StoreFeatures
from vqa_rnn.errors import UserError
from vqa_rnn.features.store import FeatureStore, check_store
from vqa_rnn.records import Question
from vqa_rnn.text import WordTokenizer


@dataclass(frozen=True, slots=True)
class SplitData:
    """The questions of a split, encoded, with their features.

    Attributes:
        questions: As the reader gave them.
        encoded: The same in columns.
        features: Of their images.
    """

    questions: tuple[Question, ...]
    encoded: EncodedQuestions
    features: StoreFeatures


def choose_device(name: str) -> torch.device:
    """The device of a config.

    Args:
        name: ``run.device``.

    Returns:
        The device; for ``auto`` a GPU if there is one.

    Raises:
        UserError: There is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"run.device={name}: {str(error).splitlines()[0]}") from error
    return device


def open_store(config: Config, run: Run | None = None) -> FeatureStore:
    """The feature store of a config.

    Args:
        config: The config.
        run: A run that was trained on it.

    Returns:
        The store, checked to be made as the config says.

    Raises:
        UserError: It was made otherwise, or is not the one that the run was trained on.
    """
    store = FeatureStore(store_path(config))
    check_store(store, config.features)
    if run is not None and store.fingerprint != run.features["fingerprint"]:
        raise UserError(
            f"{store.path} holds other features than {run.path} was trained on (fingerprint {store.fingerprint}, not "
            f"{run.features['fingerprint']}): were other weights used?"
        )
    return store


def prepare_split(
    questions: Sequence[Question], tokenizer: WordTokenizer, answers: AnswerVocabulary, store: FeatureStore
) -> SplitData:
    """Encode questions and look up their features.

    Args:
        questions: The questions.
        tokenizer: For all texts.
        answers: The classes of the classifier head.
        store: Features of their images.

    Returns:
        The split, ready for a loader.
    """
    encoded = encode_questions(questions, tokenizer, answers)
    return SplitData(tuple(questions), encoded, StoreFeatures(store, encoded.image_ids))


def check_questions(config: Config, questions: Sequence[Question]) -> None:
    """See that questions suit the model's head.

    Args:
        config: The config.
        questions: The questions.

    Raises:
        UserError: A choice head meets a question without choices.
    """
    if config.model.head.name == "choice":
        for question in questions:
            if len(question.choices) < 2:
                raise UserError(
                    f"question {question.question_id} has {len(question.choices)} choices, but model.head.name=choice "
                    "needs at least two for every question"
                )
