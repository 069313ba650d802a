"""Holds the page to explore: its maker, its template and its scripts."""
