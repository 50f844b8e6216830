"""Use cases: what a caller can have done, told in the house's own words."""
