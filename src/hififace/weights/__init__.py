"""The files of numbers: a card for each, where it lies, whether it is whole, and bundles of them."""
