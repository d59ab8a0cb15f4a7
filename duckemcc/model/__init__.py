"""What is assumed: the variables, their causes and their structural equations."""
