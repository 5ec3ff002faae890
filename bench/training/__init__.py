"""Training of priors, Correctors and SR3."""
