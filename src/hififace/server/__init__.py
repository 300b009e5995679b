"""The service: faces swapped over HTTP for programs, images at once and videos as jobs."""
