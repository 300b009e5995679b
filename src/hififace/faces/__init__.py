"""Everything known about a face in a photograph: where it is, its points, who it is, how to put one back."""
