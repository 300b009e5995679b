"""Following faces through a video: detection, tracks, smoothing, and the job that writes the result."""
