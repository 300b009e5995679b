"""Pictures, films and sound, to and from files."""
