"""One question and its answer, whoever asks it."""
