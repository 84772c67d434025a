"""A room for each study: what it poses (`task.py`), what it measures (`score.py`), and what both stand on."""
