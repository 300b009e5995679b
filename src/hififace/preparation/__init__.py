"""From folders of photographs to prepared shards: find, align, describe, filter, write."""
