"""Training of priors and Correctors."""
