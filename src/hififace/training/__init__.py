"""Training: a typed configuration, a loop on one page, exact resume."""
