"""Swapping faces in pictures and films, and the one door through which results leave."""
