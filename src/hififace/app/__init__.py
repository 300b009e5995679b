"""The web page: `ui.py` draws it, `handlers.py` does what its buttons ask, `sessions.py` forgets it afterwards."""
