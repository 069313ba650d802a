"""Demo data made on the spot: recordings of birds that do not exist, and the pictures of their syllables."""

from saec.demo.data import make_demo

__all__ = ["make_demo"]
