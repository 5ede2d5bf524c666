"""Batches for training: from shards, or augmented as they are asked for."""
