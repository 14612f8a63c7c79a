"""Metrics, computed with numpy. Only ``ignite.py``, the metric for Ignite engines, uses torch."""
