"""How good it is: fixed protocols over parts and bundles."""
