"""What is asked: a query as text, and what it means to a model."""
