"""Text of metrics for tables and pages."""

PLAIN_NUMBERS = ("mean_rank", "cider", "nats", "reconstruction", "divergence")  # all other metrics are fractions
LOWER_IS_BETTER = ("mean_rank", "nats")


def format_metric(name: str, value: float, digits: int = 2, *, signed: bool = False) -> str:
    """Format the value of a metric. Fractions become percentages.

    Args:
        name: Name of the metric.
        value: The value, or a difference between two values.
        digits: Decimals of a percentage; plain numbers have two.
        signed: Also write the sign of a positive value.

    Returns:
        Text such as ``52.13%`` or, for ``PLAIN_NUMBERS``, ``4.20``.
    """
    sign = "+" if signed else ""
    return f"{value:{sign}.2f}" if name in PLAIN_NUMBERS else f"{100 * value:{sign}.{digits}f}%"
