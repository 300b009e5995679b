"""Images, videos and sound, to and from files."""
