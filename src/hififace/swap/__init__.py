"""Swapping faces in pictures and videos, and the one door through which results leave."""
