"""Tests of the platform, in the shape of the source."""
