"""One router for each kind of object: what clients may ask, and the words of the answers."""
