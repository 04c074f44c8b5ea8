"""Repositories in, checkpoints out: examples, corruption, trainer, gate."""
