"""Metrics, evaluation, attention correctness, and the page of examples."""
