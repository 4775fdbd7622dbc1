"""Where the event log can put its facts."""
