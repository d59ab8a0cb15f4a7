"""Pure: what the learned models say of a query."""
