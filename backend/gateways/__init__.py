"""Foreign systems, one file each, behind the protocols of `backend.ports`."""
