"""Other people's networks, frozen: each reads the weights that were published for it, strictly."""
