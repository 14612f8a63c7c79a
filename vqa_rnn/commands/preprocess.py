"""``vqa-rnn preprocess``: images to a feature store."""

from preprocessing.extract_features import ExtractionReport, extract_features
from vqa_rnn.annotations import load_annotations
from vqa_rnn.commands.shared import with_all_questions
from vqa_rnn.config import Config
from vqa_rnn.engines import choose_device


def preprocess(config: Config) -> ExtractionReport:
    """Make or finish the feature store of a config, for the images of all its splits.

    Args:
        config: The config.

    Returns:
        What was done.
    """
    annotations = load_annotations(with_all_questions(config.dataset))
    return extract_features(config, annotations, device=str(choose_device(config.run.device)))
