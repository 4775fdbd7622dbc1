"""Reclift: experiments on recommenders, served and measured in one place."""

__version__ = "0.1.0"
