"""What lets one machine be enough: a PostgreSQL of our own inside the data folder."""
