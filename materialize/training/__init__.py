"""Trains Keras models on what loaders hand out, and keeps an exact record of it."""
