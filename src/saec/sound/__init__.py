"""Reads recordings from files, and computes the spectra that models see."""
