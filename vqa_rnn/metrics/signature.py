"""What a score is of, in the manner of sacreBLEU (Post 2018, https://arxiv.org/abs/1804.08771)."""

from vqa_rnn import __version__


def signature(benchmark: str, **parts: str | int | None) -> str:
    """Name everything that a score depends on; scores with unlike signatures are not compared.

    Args:
        benchmark: The benchmark.
        **parts: In the order in which they are written; None is left out.

    Returns:
        Such as ``vqa|rule:2021|split:val2014|n:214354|version:0.1.0``.
    """
    named = {**parts, "version": __version__}
    return "|".join([benchmark, *(f"{key}:{value}" for key, value in named.items() if value is not None)])
