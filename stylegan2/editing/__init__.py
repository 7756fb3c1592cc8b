"""Edits: short functions on latent codes and on whole generators, never inside a network's `forward`."""
