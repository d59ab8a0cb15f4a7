"""SQL: the functions of a database, and its catalog of models and studies."""
