"""HTTP: routes, their dependencies, and the edge that every request passes."""
