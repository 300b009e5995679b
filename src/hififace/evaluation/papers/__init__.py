"""Protocols of the literature (`ff++`, `celeba-hq`, `ffhq`), measured with the literature's own networks."""
