"""The paper's Section 6.2: many random models, against the bounds of unlimited data."""
