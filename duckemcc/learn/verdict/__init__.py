"""Whether the studies agree with each other and with the graph, and where they do not."""
