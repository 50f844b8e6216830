"""What is right and wrong with a deployment, and what to do about it: `numen doctor`."""
