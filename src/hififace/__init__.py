"""Swap faces in photographs and film, and train the network that does it."""

__version__ = "0.1.0"
