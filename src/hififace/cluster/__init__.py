"""Work on several machines by Ray: videos, folders and jobs of the service, a task each."""
