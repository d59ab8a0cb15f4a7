"""One linear program at a time: a solver kept open, programs of few columns by their bases, and scaling."""
