"""Offline jobs that run once before training."""
