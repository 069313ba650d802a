"""Sound: recordings read from files, and the spectra that models look at."""
