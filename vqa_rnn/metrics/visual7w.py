"""The official rule of Visual7W (Zhu et al. 2016, https://arxiv.org/abs/1511.03416), which compares texts, not positions."""


def is_correct(predicted: str | int, answer: str | int) -> bool:
    """Check whether a choice is correct. The comparison ignores case but normalises nothing else; box ids count as text.

    Args:
        predicted: Text or box id of the choice.
        answer: Text or box id of the answer. A decoy with the same text also counts as correct.

    Returns:
        True if the choice is correct.
    """
    return str(predicted).lower() == str(answer).lower()
