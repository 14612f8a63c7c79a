"""Signatures of scores, in the style of sacreBLEU (Post 2018, https://arxiv.org/abs/1804.08771)."""

from vqa_rnn import __version__


def signature(benchmark: str, **parts: str | int | None) -> str:
    """Build the signature of a score. Scores with different signatures are not comparable.

    Args:
        benchmark: Name of the benchmark.
        **parts: What the score depends on, in the order of the signature; None is left out.

    Returns:
        The signature, such as ``vqa|rule:2021|split:val2014|n:214354|version:0.1.0``.
    """
    named = {**parts, "version": __version__}
    return "|".join([benchmark, *(f"{key}:{value}" for key, value in named.items() if value is not None)])
