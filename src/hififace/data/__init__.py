"""Prepared training photos: shards on disk, the index, pairs, augmentation and batches."""
