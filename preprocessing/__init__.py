"""Offline jobs: what is done once before training."""
