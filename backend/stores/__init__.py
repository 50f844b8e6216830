"""All SQL: one store per table family, named queries in sql/, the schema in migrations/."""
