"""What several commands do: open the data of a config or a run."""

from collections.abc import Sequence

from vqa_rnn.checkpoint import Run
from vqa_rnn.config import Config, store_path
from vqa_rnn.errors import UserError
from vqa_rnn.features.store import FeatureStore, check_store
from vqa_rnn.records import Question


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
