"""Swapping faces in images and videos, and the one door through which results leave."""
