"""The official Visual7W rule (Zhu et al. 2016, https://arxiv.org/abs/1511.03416): the text of the choice, not its place."""


def is_correct(predicted: str | int, answer: str | int) -> bool:
    """Whether a choice is right: the same text but for capitals, with no other tidying; box ids are compared as text.

    Args:
        predicted: The text of the choice, or a box id.
        answer: The true one. A decoy with the same text is as right.

    Returns:
        True if it is.
    """
    return str(predicted).lower() == str(answer).lower()
