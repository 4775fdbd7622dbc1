"""The web application: JSON for shops and automation, HTML for people."""
