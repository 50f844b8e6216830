"""The ten rules of a contract-first platform, each proved on a running deployment: `numen doctor --standard`."""
