"""The networks, in PyTorch: each is built from numbers and reads no file by itself."""
