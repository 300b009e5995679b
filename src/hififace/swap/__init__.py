"""Swapping faces in images, and the output module that writes every result."""
